//! A request as Django knows it, for the event that says how it went.

use std::borrow::Cow;

use indelible::{HeaderMemo, HeaderWriter, Json, Redactor, Request, body_json, not_captured};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::body::{BodyTap, PyBody};
use crate::parts;
use crate::walk::text_of;

const CONTENT_LENGTH: &str = "CONTENT_LENGTH";
const CONTENT_TYPE: &str = "content-type";
const CONTENT_ENCODING: &str = "content-encoding";

/// The part of a request that only the levels `request` and `request_response` ask for.
pub(crate) struct Bodies<'a, 'py> {
    /// `HttpRequest.META`
    pub(crate) environ: Option<&'a Bound<'py, PyDict>>,
    pub(crate) body: Option<&'a Bound<'py, BodyTap>>,
    /// Pairs of name and value, or a dictionary of them.
    pub(crate) response_headers: Option<&'a Bound<'py, PyAny>>,
    /// `bytes`, what was captured of a stream, or as text why nothing was.
    pub(crate) response: Option<&'a Bound<'py, PyAny>>,
    pub(crate) bytes_max: usize,
}

impl Bodies<'_, '_> {
    pub(crate) fn put_into(&self, request: &mut Request, redactor: &Redactor, memo: &HeaderMemo) -> PyResult<()> {
        let mut declared = None;
        if let Some(environ) = self.environ {
            let (headers, length) = request_headers(HeaderWriter::new(redactor, memo), environ)?;
            request.headers = Some(headers);
            declared = length;
        }
        request.body = self.body.map(|tap| tap.get().to_json(redactor, declared));
        let mut response_type = String::new();
        let mut is_encoded = false;
        if let Some(headers) = self.response_headers {
            request.response_headers =
                Some(response_headers(HeaderWriter::new(redactor, memo), headers, &mut response_type, &mut is_encoded)?);
        }
        if let Some(response) = self.response {
            let r#type = if is_encoded { "application/octet-stream" } else { &response_type };
            request.response = Some(if let Ok(bytes) = response.cast::<PyBytes>() {
                body_json(redactor, r#type, bytes.as_bytes(), self.bytes_max)
            } else if let Ok(body) = response.cast::<PyBody>() {
                body.get().to_json(redactor)
            } else {
                not_captured(&parts::text(response)?, request.response_bytes)
            });
        }
        Ok(())
    }
}

/// The headers of a request from the variables of WSGI (PEP 3333), which Django makes of ASGI's too, and the length that they declare.
fn request_headers(mut headers: HeaderWriter<'_>, environ: &Bound<'_, PyDict>) -> PyResult<(Json, Option<u64>)> {
    let mut declared = None;
    for (key, value) in environ.iter() {
        let Ok(key) = key.cast::<PyString>() else { continue };
        let Ok(key) = key.to_str() else { continue };
        if !key.starts_with("HTTP_") && !matches!(key, "CONTENT_TYPE" | CONTENT_LENGTH) {
            continue;
        }
        with_text(&value, |value| {
            if !value.is_empty() {
                headers.variable(key, value);
                if key == CONTENT_LENGTH {
                    declared = value.parse().ok();
                }
            }
        })?;
    }
    Ok((headers.end(), declared))
}

fn response_headers(mut headers: HeaderWriter<'_>, pairs: &Bound<'_, PyAny>, r#type: &mut String, is_encoded: &mut bool) -> PyResult<Json> {
    let mut header = |pair: &Bound<'_, PyAny>| {
        let (name, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        with_text(&name, |name| {
            with_text(&value, |value| match headers.header(name, value, &[CONTENT_TYPE, CONTENT_ENCODING]) {
                Some(CONTENT_TYPE) => value.clone_into(r#type),
                Some(CONTENT_ENCODING) => *is_encoded = !value.eq_ignore_ascii_case("identity"),
                _ => {}
            })
        })?
    };
    if let Ok(by_name) = pairs.cast_exact::<PyDict>() {
        by_name.iter().try_for_each(|(_, pair)| header(&pair))?;
    } else {
        for pair in pairs.try_iter()? {
            header(&pair?)?;
        }
    }
    Ok(headers.end())
}

/// Hands over the text of a value that ought to be text; anything else as its `str()`.
fn with_text<T>(value: &Bound<'_, PyAny>, work: impl FnOnce(&str) -> T) -> PyResult<T> {
    let text = value.cast_exact::<PyString>();
    let other;
    let text: Cow<'_, str> = match text {
        Ok(text) => text_of(text)?,
        Err(_) => {
            other = value.str()?;
            text_of(&other)?
        }
    };
    Ok(work(&text))
}
