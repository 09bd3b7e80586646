//! Dates, times and durations as text.
//!
//! A date-time has so many attributes that `__reduce__` is cheaper, which hands over all digits at once: the bytes that pickles hold, in a
//! layout that therefore never changes. A date has three. `isoformat` costs more than either.

use std::fmt::Write as _;

use indelible::{push_i64, push_string};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::types::Types;
use crate::walk::text_of;

/// Appends a `datetime.date` as `"2026-11-21"`.
pub(crate) fn push_date(value: &Bound<'_, PyAny>, types: &Types, out: &mut String) -> PyResult<()> {
    if types.exact(value).is_none() {
        return push_isoformat(value, out);
    }
    let py = value.py();
    let year = value.getattr(intern!(py, "year"))?.extract()?;
    let month = value.getattr(intern!(py, "month"))?.extract()?;
    let day = value.getattr(intern!(py, "day"))?.extract()?;
    out.push('"');
    push_year_month_day(out, year, month, day);
    out.push('"');
    Ok(())
}

/// Appends a `datetime.datetime` exactly as its `isoformat` says it.
pub(crate) fn push_date_time(value: &Bound<'_, PyAny>, types: &Types, out: &mut String) -> PyResult<()> {
    if types.exact(value).is_none() {
        return push_isoformat(value, out);
    }
    let state = state(value)?;
    let zone = if state.len() > 1 { Some(state.get_item(1)?) } else { None };
    let utc = zone.as_ref().is_some_and(|zone| zone.is(&types.utc));
    let bytes = state.get_item(0)?;
    let bytes = bytes.cast::<PyBytes>()?.as_bytes();
    let (&[year_high, year_low, month, day, hour, minute, second, micro_high, micro_middle, micro_low], true) =
        (bytes, utc || zone.is_none())
    else {
        return push_isoformat(value, out);
    };
    out.push('"');
    push_year_month_day(out, u16::from_be_bytes([year_high, year_low]).into(), month.into(), day.into());
    for (separator, part) in [('T', hour), (':', minute), (':', second)] {
        out.push(separator);
        push_digits(out, u32::from(part), 2);
    }
    let microsecond = u32::from_be_bytes([0, micro_high, micro_middle, micro_low]);
    if microsecond > 0 {
        out.push('.');
        push_digits(out, microsecond, 6);
    }
    out.push_str(if utc { "+00:00\"" } else { "\"" });
    Ok(())
}

/// Appends what a date or time says itself.
pub(crate) fn push_isoformat(value: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
    push_string(out, &text_of(value.call_method0(intern!(value.py(), "isoformat"))?.cast()?)?);
    Ok(())
}

/// Appends a `datetime.timedelta` as a string of seconds, with six decimals unless they are zero.
pub(crate) fn push_duration(value: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
    let py = value.py();
    let days = value.getattr(intern!(py, "days"))?.extract::<i64>()?;
    let seconds = value.getattr(intern!(py, "seconds"))?.extract::<i64>()?;
    let microseconds = value.getattr(intern!(py, "microseconds"))?.extract::<i64>()?;
    // At most a thousand million days: 8.64e19 microseconds, more than 64 bits hold.
    let total = (i128::from(days) * 86_400 + i128::from(seconds)) * 1_000_000 + i128::from(microseconds);
    let (whole, fraction) = (total.unsigned_abs() / 1_000_000, total.unsigned_abs() % 1_000_000);
    out.push_str(if total < 0 { "\"-" } else { "\"" });
    push_i64(out, i64::try_from(whole).unwrap_or(i64::MAX));
    if fraction > 0 {
        // Writing to a String cannot fail.
        let _ = write!(out, ".{fraction:06}");
    }
    out.push('"');
    Ok(())
}

/// The arguments that would make this date-time again: its bytes and, where it has one, its zone.
fn state<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let reduced = value.call_method0(intern!(value.py(), "__reduce__"))?;
    Ok(reduced.cast::<PyTuple>()?.get_item(1)?.cast_into()?)
}

fn push_year_month_day(out: &mut String, year: u32, month: u32, day: u32) {
    push_digits(out, year, 4);
    out.push('-');
    push_digits(out, month, 2);
    out.push('-');
    push_digits(out, day, 2);
}

fn push_digits(out: &mut String, mut value: u32, width: usize) {
    let mut digits = [b'0'; 6];
    for digit in digits[..width].iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
    out.extend(digits[..width].iter().copied().map(char::from));
}
