//! Searches over HTTP, each page timed from the request to the last byte of the answer.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use serde_json::Value;

use super::seed::{self, NEEDLE_ACTOR, NEEDLE_EVENTS, NEEDLE_OBJECT, NEEDLE_WORD, Random, Seeded};

const RUNS: usize = 50;
const PAGE: usize = 50;
/// The page that is compared with the first one, and how many around it are measured.
const FAR_PAGE: usize = 1_000;
const PAGES_MEASURED: usize = 10;

/// An agent that answers.
pub(crate) struct Client {
    http: ureq::Agent,
    base: String,
    token: String,
}

/// Milliseconds, sorted.
pub(crate) struct Times(Vec<f64>);

impl Times {
    fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    pub(crate) fn at(&self, share: f64) -> f64 {
        let place = ((self.0.len() as f64 * share).ceil() as usize).clamp(1, self.0.len());
        self.0[place - 1]
    }
}

impl Client {
    pub(crate) fn new(address: &str, token: String) -> Self {
        Self { http: ureq::Agent::new_with_defaults(), base: format!("http://{address}"), token }
    }

    /// One page: how long it took, and what it says.
    fn page(&self, query: &str, cursor: Option<&str>) -> io::Result<(f64, Value)> {
        let mut request = self.http.get(format!("{}/v1/events", self.base)).header("Authorization", format!("Bearer {}", self.token));
        request = request.query("q", query).query("limit", PAGE.to_string());
        if let Some(cursor) = cursor {
            request = request.query("cursor", cursor);
        }
        let started = Instant::now();
        let text = request
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .map_err(|error| io::Error::other(format!("{query}: {error}")))?;
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        Ok((ms, serde_json::from_str(&text)?))
    }

    fn many(&self, mut query: impl FnMut(usize) -> (String, usize)) -> io::Result<Times> {
        let mut times = Vec::new();
        for run in 0..=RUNS {
            let (text, expected) = query(run);
            let (ms, page) = self.page(&text, None)?;
            let found = page["rows"].as_array().map_or(0, Vec::len);
            if found < expected {
                return Err(io::Error::other(format!("{text}: {found} records, expected at least {expected}: {}", page["partial"])));
            }
            // The first one warms up.
            if run > 0 {
                times.push(ms);
            }
        }
        Ok(Times::new(times))
    }

    /// Every kind of search, by name.
    ///
    /// # Errors
    /// When the agent does not answer, or not with what was seeded.
    pub(crate) fn measure(&self, seeded: &Seeded, random: &mut Random) -> io::Result<BTreeMap<&'static str, Times>> {
        let needles = (NEEDLE_EVENTS as usize).min(PAGE);
        let requests = &seeded.requests;
        let objects = &seeded.objects;
        let mut measured = BTreeMap::new();
        let mut add = |name, times: io::Result<Times>| times.map(|times| measured.insert(name, times)).map(drop);
        add("newest page", self.many(|_| (String::new(), PAGE)))?;
        add("rare actor", self.many(|_| (format!("actor:{NEEDLE_ACTOR}"), needles)))?;
        add("any actor", self.many(|_| (format!("actor:{}", seed::actor(random.skewed(1000))), 1)))?;
        add("rare object", self.many(|_| (format!("resource:{NEEDLE_OBJECT}"), needles / 4)))?;
        add("object timeline", self.many(|run| (format!("resource:{}", objects[run % objects.len()]), 1)))?;
        add("request", self.many(|run| (format!("request:{}", requests[run % requests.len()]), 1)))?;
        let three = |run: usize| (format!("kind:change action:patient.update actor:{}", seed::actor(run as u64 % 20)), 1);
        add("three terms", self.many(three))?;
        add("free text", self.many(|_| (NEEDLE_WORD.to_owned(), 1)))?;
        add("two common words", self.many(|_| ("ticket doctor".to_owned(), 1)))?;
        Ok(measured)
    }

    /// The first pages of a search and those around the thousandth, 50 records each.
    ///
    /// # Errors
    /// When the agent does not answer, or the search has fewer pages.
    pub(crate) fn deep(&self, query: &str) -> io::Result<(Times, Times)> {
        let (mut first, mut far, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
        for number in 1..=FAR_PAGE {
            let (ms, page) = self.page(query, cursor.as_deref())?;
            match number {
                ..=PAGES_MEASURED => first.push(ms),
                number if number > FAR_PAGE - PAGES_MEASURED => far.push(ms),
                _ => {}
            }
            let Some(next) = page["next"].as_str() else {
                return Err(io::Error::other(format!("{query:?} has only {number} pages")));
            };
            cursor = Some(next.to_owned());
        }
        Ok((Times::new(first), Times::new(far)))
    }
}
