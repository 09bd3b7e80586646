//! A trail whose events have every field that can be searched, as docs/search.md's examples ask for them.

use indelible::{Actor, Changes, Config, ErrorInfo, Event, Json, Kind, Outcome, Recorder, Request, Resource};

use super::{Seed, event};

/// The trace that the request of the ward belongs to.
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

impl Seed {
    /// A trail with a value for every example of the documentation.
    pub(crate) fn ward() -> Self {
        let seed = Self::empty();
        let config = Config { environment: "production".to_owned(), version: "2.4.1".to_owned(), ..Config::new(seed.path(), "clinic") };
        let recorder = Recorder::open(config).unwrap();
        for event in [moved(), refused(), mailed()] {
            recorder.record(event);
        }
        recorder.close().unwrap();
        seed.ingest();
        seed
    }
}

fn ana() -> Actor {
    Actor {
        auth: Some("session".to_owned()),
        session: Some("9f2c4e0d".to_owned()),
        on_behalf_of: Some(Box::new(Actor::user("8", "bo"))),
        roles: vec!["nurse".to_owned(), "admin".to_owned()],
        ..Actor::user("7", "ana")
    }
}

fn request(status: u16) -> Request {
    Request {
        method: Some("POST".to_owned()),
        route: Some("/patients/:id".to_owned()),
        path: Some("/patients/42".to_owned()),
        status: Some(status),
        duration_us: Some(2_500_000),
        client_ip: Some("10.1.2.3".to_owned()),
        user_agent: Some("Mozilla/5.0 (X11) Firefox/140.0".to_owned()),
        ..Request::from_id("r-1001")
    }
}

/// A change on a Saturday night.
fn moved() -> Event {
    let mut changes = Changes::default();
    changes.push_values("email", Some("\"ana@old.example\""), Some("\"ana@new.example\""));
    changes.push_values("ward", Some("3"), Some("4"));
    changes.push_masked("ssn");
    Event {
        actor: ana().into(),
        resource: Some(Resource { label: Some("Zoë Ward".to_owned()), ..Resource::new("clinic.Patient", "42") }),
        changes,
        request: Some(request(200)),
        trace_id: Some(TRACE.to_owned()),
        reason: Some("Ticket 42: moved".to_owned()),
        tenant: Some("north".to_owned()),
        meta: Some(Json::from_text(r#"{"ticket":"ABC-1","bed":{"number":7}}"#.to_owned())),
        ..event(Kind::Change, "patient.update", "2026-01-31T23:30:00Z")
    }
}

fn refused() -> Event {
    Event {
        actor: ana().into(),
        outcome: Outcome::Denied,
        error: Some(ErrorInfo { r#type: "PermissionDenied".to_owned(), message: "not your ward".to_owned(), place: None }),
        request: Some(request(403)),
        ..event(Kind::Request, "patient.open", "2026-02-02T09:00:00Z")
    }
}

/// What a task did for the same request, which it has no id of.
fn mailed() -> Event {
    Event {
        actor: Actor::system("mailer").into(),
        trace_id: Some(TRACE.to_owned()),
        ..event(Kind::Task, "mail.send", "2026-01-31T23:31:00Z")
    }
}
