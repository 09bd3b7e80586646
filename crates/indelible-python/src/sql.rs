//! What SQL text writes, for hooks that see it pass.

use indelible::SqlSummary;
use pyo3::prelude::*;

use crate::walk::Text;

/// Fingerprint, whether rows come back, for each table verb, name and whether the driver's count is its own, and the verbs of
/// what may write tables that nobody names.
type Summary = (String, bool, Vec<(&'static str, String, bool)>, Vec<&'static str>);

/// Reads a text of SQL.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "an extracted argument")]
pub(crate) fn sql_writes(sql: Text) -> Summary {
    let summary = SqlSummary::of(&sql.0);
    let writes = summary.writes.into_iter().map(|write| (write.verb.as_str(), write.table, write.counted)).collect();
    (summary.fingerprint, summary.returning, writes, summary.opaque)
}
