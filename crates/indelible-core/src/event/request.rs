//! The request that caused it.

use crate::json::Json;

/// The HTTP request that caused an event, each part only as far as policy allows.
///
/// A `request` event carries all that is known; the other events of a request carry only `id`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Request id, accepted from the client or made.
    pub id: Option<String>,
    /// HTTP method.
    pub method: Option<String>,
    /// Route template, for example `/patients/:id`.
    pub route: Option<String>,
    /// Path, redacted.
    pub path: Option<String>,
    /// Query string, redacted.
    pub query: Option<String>,
    /// Status of the response.
    pub status: Option<u16>,
    /// Microseconds from the request to the end of the response's body.
    pub duration_us: Option<u64>,
    /// Address of the client.
    pub client_ip: Option<String>,
    /// User agent.
    pub user_agent: Option<String>,
    /// A JSON object of headers, redacted.
    pub headers: Option<Json>,
    /// Body of the request, redacted.
    pub body: Option<Json>,
    /// Body of the response, redacted.
    pub response: Option<Json>,
    /// A JSON object of the response's headers, redacted.
    pub response_headers: Option<Json>,
    /// Length of the response's body as far as it was handed to the server, in bytes.
    pub response_bytes: Option<u64>,
}

impl Request {
    /// A request of which only the id is known or wanted.
    #[must_use]
    pub fn from_id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }

    pub(super) fn size_hint(&self) -> usize {
        let json = |json: &Option<Json>| json.as_ref().map_or(0, Json::len);
        let fields = [&self.id, &self.method, &self.route, &self.path, &self.query, &self.client_ip, &self.user_agent];
        super::texts(fields) + json(&self.headers) + json(&self.body) + json(&self.response) + json(&self.response_headers)
    }
}
