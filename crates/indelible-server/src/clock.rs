//! The time of this machine, for those who are started by hand; everything else is told the time.

use indelible_core::Timestamp;

/// What the machine's clock says.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}
