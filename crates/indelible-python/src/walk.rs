//! Any Python value as JSON text (docs/format.md, "Values that JSON cannot say"), redacted on the way.

use std::borrow::Cow;

use indelible::{Json, MASK, Redactor, push_f64, push_i64, push_string};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use sha2::{Digest, Sha256};

use crate::moments;
use crate::types::{Sort, Types};
use crate::values::Encoded;

const DEPTH_MAX: usize = 32;

/// Fewest digits of a card number; shorter numbers are not looked at.
const CARD_DIGITS_MIN: usize = 13;

const UNKNOWN_TEXT_BYTES_MAX: usize = 1024;

/// Writes values one after the other; never fails because of a value.
///
/// With a redactor, values under a masked name and secrets inside text are replaced as they are written. Without one the text is only fit
/// for comparing, never for storing. Members of an object are sorted by name: databases do not keep their order, so equal values must
/// give equal text.
pub(crate) struct Walker<'a> {
    redactor: Option<&'a Redactor>,
    types: &'static Types,
    /// Bytes of the text of a value of an unknown type that are written.
    unknown_text_max: usize,
    /// Addresses of the containers around the value at hand.
    open: Vec<usize>,
    /// Whether something was left out that is too deep.
    is_cut: bool,
}

impl<'a> Walker<'a> {
    /// A walker whose text may be stored.
    pub(crate) fn redacting(py: Python<'_>, redactor: &'a Redactor) -> PyResult<Self> {
        Ok(Self {
            redactor: Some(redactor),
            types: Types::get(py)?,
            unknown_text_max: UNKNOWN_TEXT_BYTES_MAX,
            open: Vec::new(),
            is_cut: false,
        })
    }

    /// The same for values of fields, which are written whole: their end may be all that was changed. The limit of an event bounds them.
    pub(crate) fn of_fields(py: Python<'_>, redactor: &'a Redactor) -> PyResult<Self> {
        Ok(Self { unknown_text_max: usize::MAX, ..Self::redacting(py, redactor)? })
    }

    /// A walker for comparing.
    pub(crate) fn plain(py: Python<'_>) -> PyResult<Self> {
        Ok(Self { redactor: None, types: Types::get(py)?, unknown_text_max: usize::MAX, open: Vec::new(), is_cut: false })
    }

    /// Whether anything since the last call was too deep to be written: equal texts are then no equal values.
    pub(crate) fn take_cut(&mut self) -> bool {
        std::mem::take(&mut self.is_cut)
    }

    /// One value as JSON of its own.
    pub(crate) fn json(&mut self, value: &Bound<'_, PyAny>) -> Json {
        let mut out = String::new();
        self.push(value, &mut out);
        Json::from_text(out)
    }

    /// Appends a value. One that cannot be read stands as its type and `<unprintable>`.
    pub(crate) fn push(&mut self, value: &Bound<'_, PyAny>, out: &mut String) {
        let (start, depth) = (out.len(), self.open.len());
        if self.write(value, out).is_err() {
            out.truncate(start);
            self.open.truncate(depth);
            push_described(&type_name(value), "<unprintable>", out);
        }
    }

    fn write(&mut self, value: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
        if value.is_none() {
            out.push_str("null");
            return Ok(());
        }
        match self.types.of(value) {
            Sort::Text => self.push_text(&text_of(value.cast()?)?, out),
            Sort::Boolean => out.push_str(if value.is_truthy()? { "true" } else { "false" }),
            Sort::Integer => {
                let start = out.len();
                push_integer(value, out)?;
                self.mask_number(start, out);
            }
            Sort::Float => {
                let start = out.len();
                push_f64(out, value.extract()?);
                self.mask_number(start, out);
            }
            Sort::Decimal => self.push_text(&text_of(&value.str()?)?, out),
            Sort::DateTime => moments::push_date_time(value, self.types, out)?,
            Sort::Date => moments::push_date(value, self.types, out)?,
            Sort::Time => moments::push_isoformat(value, out)?,
            Sort::Duration => moments::push_duration(value, out)?,
            Sort::Uuid => push_uuid(value, out)?,
            Sort::Bytes => push_bytes(value, out)?,
            Sort::Enumeration => self.nested(value, out, |walker, out| {
                walker.push(&value.getattr(intern!(value.py(), "_value_"))?, out);
                Ok(())
            })?,
            Sort::Dict => self.nested(value, out, |walker, out| walker.object(value.cast()?, out))?,
            Sort::List | Sort::Tuple => self.nested(value, out, |walker, out| walker.array(value, out))?,
            Sort::Set => self.nested(value, out, |walker, out| walker.set(value, out))?,
            Sort::Other => self.other(value, out)?,
        }
        Ok(())
    }

    /// Replaces the number that was written from `start` if it is a secret, as a card number can be.
    fn mask_number(&self, start: usize, out: &mut String) {
        if out.len() - start < CARD_DIGITS_MIN {
            return;
        }
        if self.redactor.is_some_and(|redactor| matches!(redactor.text(&out[start..]), std::borrow::Cow::Owned(_))) {
            out.truncate(start);
            push_string(out, MASK);
        }
    }

    fn push_text(&self, text: &str, out: &mut String) {
        match self.redactor {
            Some(redactor) => push_string(out, &redactor.text(text)),
            None => push_string(out, text),
        }
    }

    /// Writes what holds other values, unless it is inside itself or too deep.
    fn nested(
        &mut self,
        value: &Bound<'_, PyAny>,
        out: &mut String,
        write: impl FnOnce(&mut Self, &mut String) -> PyResult<()>,
    ) -> PyResult<()> {
        let address = value.as_ptr() as usize;
        if self.open.contains(&address) {
            out.push_str("\"<cycle>\"");
        } else if self.open.len() >= DEPTH_MAX {
            out.push_str("\"<too deep>\"");
            self.is_cut = true;
        } else {
            self.open.push(address);
            write(self, out)?;
            self.open.pop();
        }
        Ok(())
    }

    fn object(&mut self, dict: &Bound<'_, PyDict>, out: &mut String) -> PyResult<()> {
        // A list of its own: turning a value into text can run code that changes the dictionary.
        let members: Vec<_> = dict.iter().collect();
        let mut members: Vec<_> = members.iter().map(|(key, value)| (self.bare(key), value)).collect();
        members.sort_by(|(left, _), (right, _)| left.cmp(right));
        out.push('{');
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_string(out, key);
            out.push(':');
            if self.redactor.is_some_and(|redactor| redactor.masks_field(key)) {
                push_string(out, MASK);
            } else {
                self.push(value, out);
            }
        }
        out.push('}');
        Ok(())
    }

    /// A value as bare text, for names and identifiers: text as it is (not redacted), anything else as its JSON text.
    pub(crate) fn bare<'v>(&mut self, value: &'v Bound<'_, PyAny>) -> Cow<'v, str> {
        if let Ok(text) = value.cast::<PyString>()
            && let Ok(text) = text_of(text)
        {
            return text;
        }
        let text = self.json(value).into_text();
        match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(bare) if !bare.contains('\\') => bare.to_owned().into(),
            _ => text.into(),
        }
    }

    fn array(&mut self, items: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
        out.push('[');
        for (index, item) in items.try_iter()?.enumerate() {
            if index > 0 {
                out.push(',');
            }
            self.push(&item?, out);
        }
        out.push(']');
        Ok(())
    }

    fn set(&mut self, items: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
        let mut elements = items.try_iter()?.map(|item| Ok(self.json(&item?).into_text())).collect::<PyResult<Vec<_>>>()?;
        elements.sort_unstable();
        out.push('[');
        out.push_str(&elements.join(","));
        out.push(']');
        Ok(())
    }

    fn other(&mut self, value: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
        if let Ok(copy) = value.cast::<Encoded>() {
            let text = copy.get().text(value.py())?;
            match self.redactor {
                Some(redactor) => out.push_str(redactor.json(text.as_bytes(), usize::MAX).as_str()),
                None => out.push_str(text),
            }
            return Ok(());
        }
        if let Some((label, key)) = model_identity(value) {
            return self.nested(value, out, |walker, out| walker.model(&label, &key, out));
        }
        if is_query(value) {
            push_described(&type_name(value), "<not asked for>", out);
            return Ok(());
        }
        let text = value.str()?;
        if is_lazy_text(value) {
            self.push_text(&text_of(&text)?, out);
        } else {
            let text = text_of(&text)?;
            let redacted = self.redactor.map(|redactor| redactor.text(&text));
            push_described(&type_name(value), shortened(redacted.as_deref().unwrap_or(&text), self.unknown_text_max), out);
        }
        Ok(())
    }

    fn model(&mut self, label: &str, key: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
        out.push_str("{\"type\":");
        push_string(out, label);
        out.push_str(",\"id\":");
        self.push(key, out);
        out.push('}');
        Ok(())
    }
}

/// An argument that is text, with each lone surrogate as U+FFFD: refusing it would lose the event.
pub(crate) struct Text(pub(crate) String);

impl<'a, 'py> FromPyObject<'a, 'py> for Text {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(text_of(object.to_owned().cast::<PyString>()?)?.into_owned()))
    }
}

/// The text of a Python string; each lone surrogate becomes U+FFFD.
pub(crate) fn text_of<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    if let Ok(text) = text.to_str() {
        return Ok(text.into());
    }
    let py = text.py();
    let encoded = text.call_method1(intern!(py, "encode"), (intern!(py, "utf-16-le"), intern!(py, "surrogatepass")))?;
    let units = encoded.cast::<PyBytes>()?.as_bytes().chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    Ok(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into())
}

/// The beginning of a text, at most `bytes_max` long, cut between characters.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn push_integer(value: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
    if let Ok(small) = value.extract::<i64>() {
        push_i64(out, small);
    } else {
        // A subclass may say something else in `__str__`; `int.__repr__` cannot.
        let digits = value.py().get_type::<pyo3::types::PyInt>().call_method1(intern!(value.py(), "__repr__"), (value,))?;
        let digits = text_of(digits.cast()?)?;
        // What no double holds stands as text, as in JSON from outside.
        match digits.parse().is_ok_and(f64::is_infinite) {
            true => push_string(out, &digits),
            false => out.push_str(&digits),
        }
    }
    Ok(())
}

/// `UUID.int` is several times cheaper than `str(UUID)`, which formats in Python.
fn push_uuid(value: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number: u128 = value.getattr(intern!(value.py(), "int"))?.extract()?;
    out.push('"');
    for (index, byte) in number.to_be_bytes().into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out.push('"');
    Ok(())
}

fn push_bytes(value: &Bound<'_, PyAny>, out: &mut String) -> PyResult<()> {
    let py = value.py();
    let copy = match value.cast_exact::<PyBytes>() {
        Ok(bytes) => bytes.clone(),
        Err(_) => py.get_type::<PyBytes>().call1((value,))?.cast_into()?,
    };
    let bytes = copy.as_bytes();
    out.push_str("{\"bytes\":");
    push_i64(out, i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    out.push_str(",\"sha256\":\"");
    for byte in Sha256::digest(bytes) {
        out.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')));
    }
    out.push_str("\"}");
    Ok(())
}

fn push_described(r#type: &str, text: &str, out: &mut String) {
    out.push_str("{\"type\":");
    push_string(out, r#type);
    out.push_str(",\"text\":");
    push_string(out, text);
    out.push('}');
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    match value.get_type().fully_qualified_name() {
        Ok(name) => text_of(&name).map_or_else(|_| "object".to_owned(), Cow::into_owned),
        Err(_) => "object".to_owned(),
    }
}

/// Label and key of a model instance. Its `__str__` is never asked: it may query the database.
fn model_identity<'py>(value: &Bound<'py, PyAny>) -> Option<(String, Bound<'py, PyAny>)> {
    let py = value.py();
    let options = value.getattr_opt(intern!(py, "_meta")).ok()??;
    let label = options.getattr_opt(intern!(py, "label")).ok()??.extract().ok()?;
    let key = value.getattr_opt(intern!(py, "pk")).ok()??;
    Some((label, key))
}

/// Whether a value is one of Django's queries, whose text is made of the rows: showing it would ask the database.
fn is_query(value: &Bound<'_, PyAny>) -> bool {
    value.get_type().hasattr(intern!(value.py(), "_fetch_all")).unwrap_or(false)
}

/// Whether a value is text whose making was put off (Django's `gettext_lazy` and its like).
fn is_lazy_text(value: &Bound<'_, PyAny>) -> bool {
    value.get_type().name().is_ok_and(|name| name.to_str().is_ok_and(|name| name == "__proxy__"))
}
