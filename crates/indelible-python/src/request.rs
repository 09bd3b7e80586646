//! A request as Django knows it, for the event that says how it went.

use indelible::{Json, ObjectWriter, Redactor, Request, body_json, not_captured};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::body::{BodyTap, PyBody};
use crate::parts;

const CONTENT_TYPE: &str = "content-type";
const CONTENT_ENCODING: &str = "content-encoding";

/// The part of a request that only the levels `request` and `request_response` ask for.
pub(crate) struct Bodies<'a, 'py> {
    /// `HttpRequest.META`
    pub(crate) environ: Option<&'a Bound<'py, PyDict>>,
    pub(crate) body: Option<&'a Bound<'py, BodyTap>>,
    /// Pairs of name and value.
    pub(crate) response_headers: Option<&'a Bound<'py, PyAny>>,
    /// `bytes`, what was captured of a stream, or as text why nothing was.
    pub(crate) response: Option<&'a Bound<'py, PyAny>>,
    pub(crate) bytes_max: usize,
}

impl Bodies<'_, '_> {
    pub(crate) fn put_into(&self, request: &mut Request, redactor: &Redactor) -> PyResult<()> {
        let mut declared = None;
        if let Some(environ) = self.environ {
            let (headers, length) = request_headers(redactor, environ)?;
            request.headers = Some(headers);
            declared = length;
        }
        request.body = self.body.map(|tap| tap.get().to_json(redactor, declared));
        let mut response_type = String::new();
        let mut is_encoded = false;
        if let Some(headers) = self.response_headers {
            request.response_headers = Some(response_headers(redactor, headers, &mut response_type, &mut is_encoded)?);
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
fn request_headers(redactor: &Redactor, environ: &Bound<'_, PyDict>) -> PyResult<(Json, Option<u64>)> {
    let mut out = String::with_capacity(512);
    let mut declared = None;
    let mut object = ObjectWriter::begin(&mut out);
    for (key, value) in environ.iter() {
        let Ok(key) = key.cast::<PyString>() else { continue };
        let Ok(key) = key.to_str() else { continue };
        let name = match key.strip_prefix("HTTP_") {
            Some(name) => name,
            None if matches!(key, "CONTENT_TYPE" | "CONTENT_LENGTH") => key,
            None => continue,
        };
        let value = parts::text(&value)?;
        if value.is_empty() {
            continue;
        }
        if name == "CONTENT_LENGTH" {
            declared = value.parse().ok();
        }
        let name = name.replace('_', "-").to_ascii_lowercase();
        object.string(&redactor.header_name(&name), &redactor.header(&name, &value));
    }
    object.end();
    Ok((Json::from_text(out), declared))
}

fn response_headers(redactor: &Redactor, pairs: &Bound<'_, PyAny>, r#type: &mut String, is_encoded: &mut bool) -> PyResult<Json> {
    let mut out = String::with_capacity(256);
    let mut object = ObjectWriter::begin(&mut out);
    for pair in pairs.try_iter()? {
        let (name, value) = pair?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let (name, value) = (parts::text(&name)?.to_ascii_lowercase(), parts::text(&value)?);
        object.string(&redactor.header_name(&name), &redactor.header(&name, &value));
        match &*name {
            CONTENT_TYPE => *r#type = value,
            CONTENT_ENCODING => *is_encoded = !value.eq_ignore_ascii_case("identity"),
            _ => {}
        }
    }
    object.end();
    Ok(Json::from_text(out))
}
