//! The forms in which an event can leave: our own, and the records of django-activity-audit (docs/sinks.md, "Shapes").

mod activity;
mod body;
mod native;
#[cfg(test)]
mod tests;

use self::body::Body;
use super::Record;

/// Names of the shapes in the configuration.
pub(crate) const NAMES: &[&str] = &["native", "j1", "j4", "j7", "j8", "activity"];

/// The form of each line, and which events have one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Leaf, verdict, arrival, and the event as it was recorded.
    #[default]
    Native,
    /// Model records: changes, reads and actions.
    J1,
    /// Request records.
    J4,
    /// Application records: everything that is none of the others.
    J7,
    /// Login records.
    J8,
    /// The last four, each event in the one that is meant for it.
    Activity,
}

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

impl Shape {
    /// The shape of this name in the configuration.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Native, Self::J1, Self::J4, Self::J7, Self::J8, Self::Activity];
        all.into_iter().find(|shape| shape.as_str() == name)
    }

    /// Its name in the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::J1 => "j1",
            Self::J4 => "j4",
            Self::J7 => "j7",
            Self::J8 => "j8",
            Self::Activity => "activity",
        }
    }

    /// The names of its files, as django-activity-audit names them where the shape is one of its own.
    pub(crate) fn files(self) -> &'static [&'static str] {
        match self {
            Self::Native => &["events.jsonl"],
            Self::J1 => &["audit.log"],
            Self::J4 => &["api.log"],
            Self::J7 => &["app.log"],
            Self::J8 => &["login.log"],
            Self::Activity => &["audit.log", "api.log", "app.log", "login.log"],
        }
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
        if self == Self::Native {
            native::push(record, &body, out);
            return Rendered::Line(0);
        }
        let of_event = Self::of_kind(&body.kind);
        if self != Self::Activity && self != of_event {
            return Rendered::Nothing;
        }
        match of_event {
            Self::J1 => activity::model(record, &body, out),
            Self::J4 => activity::request(record, &body, out),
            Self::J8 => activity::login(record, &body, out),
            _ => activity::application(record, &body, out),
        }
        Rendered::Line(self.place_of(of_event))
    }

    /// Which of the four is meant for a kind of event.
    fn of_kind(kind: &str) -> Self {
        match kind {
            "change" | "read" | "action" => Self::J1,
            "request" | "outbound" => Self::J4,
            "auth" => Self::J8,
            _ => Self::J7,
        }
    }

    fn place_of(self, of_event: Self) -> usize {
        self.files().iter().position(|file| of_event.files()[0] == *file).unwrap_or(0)
    }
}
