//! Reading journals: every stream of every service, from its high-water on (docs/format.md, "Journal").
//!
//! Reading changes nothing and trims nothing. What a reader hands out covers every sequence exactly once: as a frame, or as part
//! of a gap with its cause.

mod discover;
mod resync;
mod round;
mod segment;
mod tail;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use discover::{Discovery, Stray, Strays, StreamFolder, Watch, discover};
pub(crate) use round::{Round, Rounds};
pub(crate) use tail::{Budget, Cause, Found, Tail, TailError};
