//! The forms in which an event can leave: our own, and the records of four other packages (docs/sinks.md, "Shapes").

mod activity;
mod body;
mod ftn;
mod members;
mod native;
mod requests;
#[cfg(test)]
mod tests;
mod tracker;

use self::body::Body;
use super::Record;

/// Appends the line of a record.
type Push = fn(&Record, &Body<'_>, &mut String);

/// The form of each line, and which events have one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Leaf, verdict, arrival, and the event as it was recorded.
    #[default]
    Native,
    /// Model records of django-activity-audit (with J2 and J3): changes, reads and actions.
    J1,
    /// Its request records.
    J4,
    /// Its records of calls over HTTP.
    J5,
    /// Its records of calls over SFTP.
    J6,
    /// Its application records: everything that is none of the others.
    J7,
    /// Its login records.
    J8,
    /// All of these, each event in the one that is meant for it.
    Activity,
    /// The records of its release 1.3.0.dev19.
    J9,
    /// The records that the README of its release 1.0.5 shows.
    J10,
    /// What ftn-audit hands to its task: changes.
    J11,
    /// Rows of django-gunicorn-audit-logs: requests.
    J12,
    /// Its MongoDB documents: requests.
    J13,
    /// Rows of django-system-audit: changes, reads, actions and logins.
    J14,
    /// The activity feed that django-activity-audit planned: changes.
    J15,
}

/// Every shape with its name in the configuration and the names of its files, which are those of the original where it has any.
const SHAPES: [(Shape, &str, &[&str]); 15] = [
    (Shape::Native, "native", &["events.jsonl"]),
    (Shape::J1, "j1", &["audit.log"]),
    (Shape::J4, "j4", &["api.log"]),
    (Shape::J5, "j5", &["api.log"]),
    (Shape::J6, "j6", &["api.log"]),
    (Shape::J7, "j7", &["app.log"]),
    (Shape::J8, "j8", &["login.log"]),
    (Shape::Activity, "activity", &["audit.log", "api.log", "app.log", "login.log"]),
    (Shape::J9, "j9", &["audit.log", "api.log", "app.log", "login.log"]),
    (Shape::J10, "j10", &["audit.log", "api.log", "app.log"]),
    (Shape::J11, "j11", &["payloads.jsonl"]),
    (Shape::J12, "j12", &["request_log.jsonl"]),
    (Shape::J13, "j13", &["request_logs.jsonl"]),
    (Shape::J14, "j14", &["activity_log.jsonl"]),
    (Shape::J15, "j15", &["activity.log"]),
];

/// Names of the shapes in the configuration.
pub(crate) const NAMES: &[&str] = &{
    let mut names = [""; SHAPES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = SHAPES[at].1;
        at += 1;
    }
    names
};

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rendered {
    /// A line was appended, for this one of [`Shape::files`].
    Line(usize),
    /// The shape has no line for it.
    Nothing,
    /// The event cannot be rendered, ever.
    Refused(String),
}

/// What an event is to those who have a form for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Model,
    Request,
    Http,
    Sftp,
    Login,
    Other,
}

impl Shape {
    /// The shape of this name in the configuration.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        SHAPES.iter().find(|(_, known, _)| *known == name).map(|(shape, ..)| *shape)
    }

    /// Its name in the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The names of its files.
    pub(crate) fn files(self) -> &'static [&'static str] {
        self.row().2
    }

    fn row(self) -> (Self, &'static str, &'static [&'static str]) {
        // The table is in the order of the variants; a test compares.
        SHAPES[self as usize]
    }

    /// Appends the line of a record to `out`, without a line feed. The same record always gives the same bytes.
    pub(crate) fn render(self, record: &Record, out: &mut String) -> Rendered {
        if record.body.is_empty() {
            // Erased: its leaf stays in the trail, and there is nothing left to tell.
            return Rendered::Nothing;
        }
        let body = match Body::parse(&record.body) {
            Ok(body) => body,
            Err(error) => return Rendered::Refused(format!("the event is not what docs/format.md calls a body: {error}")),
        };
        let Some((file, push)) = self.form(&body) else { return Rendered::Nothing };
        push(record, &body, out);
        Rendered::Line(file)
    }

    /// The place of the file among [`Shape::files`] and the form of this event, if it has one here.
    fn form(self, body: &Body<'_>) -> Option<(usize, Push)> {
        let sort = Sort::of(body);
        // The originals have no words for what was refused or rolled back; whoever counts their records counts what happened.
        let happened = body.kind == "change" && body.outcome == "success";
        let form: (usize, Push) = match (self, sort) {
            (Self::Native, _) => (0, native::push),
            (Self::J1 | Self::Activity, Sort::Model) => (0, activity::model),
            (Self::J4, Sort::Request) => (0, activity::request),
            (Self::J5, Sort::Http) => (0, activity::http),
            (Self::J6, Sort::Sftp) => (0, activity::sftp),
            (Self::J7, Sort::Other) => (0, activity::application),
            (Self::J8, Sort::Login) => (0, activity::login),
            (Self::Activity, Sort::Request) => (1, activity::request),
            (Self::Activity, Sort::Http) => (1, activity::http),
            (Self::Activity, Sort::Sftp) => (1, activity::sftp),
            (Self::Activity, Sort::Other) => (2, activity::application),
            (Self::Activity, Sort::Login) => (3, activity::login),
            (Self::J9, _) => (sort.file(), activity::nested),
            // That release had no file for logins.
            (Self::J10, Sort::Login) => (2, activity::first),
            (Self::J10, _) => (sort.file(), activity::first),
            (Self::J11, Sort::Model) if happened => (0, ftn::payload),
            (Self::J12, Sort::Request) => (0, requests::row),
            (Self::J13, Sort::Request) => (0, requests::document),
            (Self::J14, Sort::Model | Sort::Login) => (0, tracker::row),
            (Self::J15, Sort::Model) if happened => (0, activity::feed),
            _ => return None,
        };
        Some(form)
    }
}

impl Sort {
    fn of(body: &Body<'_>) -> Self {
        match body.kind.as_ref() {
            "change" | "read" | "action" => Self::Model,
            "request" => Self::Request,
            "outbound" if body.action.starts_with("sftp.") => Self::Sftp,
            "outbound" => Self::Http,
            "auth" => Self::Login,
            _ => Self::Other,
        }
    }

    /// Its place among audit.log, api.log, app.log and login.log.
    fn file(self) -> usize {
        match self {
            Self::Model => 0,
            Self::Request | Self::Http | Self::Sftp => 1,
            Self::Other => 2,
            Self::Login => 3,
        }
    }
}
