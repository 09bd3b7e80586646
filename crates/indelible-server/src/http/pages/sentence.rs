//! What happened in words, for people who do not read `noun.verb`.

use crate::cli::Body;

/// What signing in and out is called. The rest of kind `auth` is about passwords, groups and rights.
const SIGN_INS: [&str; 4] = ["login", "logout", "login_failed", "lockout"];

/// The six things that people look for, and the rest. Each has a colour, a glyph and a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Category {
    Create,
    Read,
    Update,
    Delete,
    Auth,
    Denied,
    Other,
}

impl Category {
    /// What an event is to people. That something was denied matters more than what it was.
    pub(super) fn of(body: &Body) -> Self {
        let verb = verb(body);
        match (body.outcome.as_deref(), body.kind.as_deref()) {
            (Some("denied"), _) => Self::Denied,
            (_, Some("auth")) => Self::Auth,
            (_, Some("read")) => Self::Read,
            // A DELETE that was sent is not yet something that was deleted.
            (_, Some("request" | "outbound" | "log")) => Self::Other,
            _ if matches!(verb, "create" | "add" | "insert") => Self::Create,
            _ if matches!(verb, "delete" | "remove" | "purge") => Self::Delete,
            _ if verb == "read" => Self::Read,
            (_, Some("change")) => Self::Update,
            _ => Self::Other,
        }
    }

    /// Name of its colour and glyph.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Auth => "auth",
            Self::Denied => "denied",
            Self::Other => "other",
        }
    }

    /// Its word; that of the rest is the kind.
    pub(super) fn word(self, body: &Body) -> String {
        let word = match self {
            Self::Create => "Created",
            Self::Read => "Read",
            Self::Update => "Changed",
            Self::Delete => "Deleted",
            Self::Auth if SIGN_INS.contains(&verb(body)) => "Sign-in",
            Self::Auth => "Account",
            Self::Denied => "Denied",
            Self::Other => return capitalized(body.kind.as_deref().unwrap_or("event")),
        };
        word.to_owned()
    }
}

/// What somebody did, as it stands between who and what: `changed`, `was not allowed to delete`. Of what is in doubt it claims nothing.
pub(super) fn deed(body: &Body, is_in_doubt: bool) -> String {
    let action = body.action.as_deref().unwrap_or("unknown");
    let verb = verb(body);
    let (done, infinitive) = match (verb, Category::of(body)) {
        ("login", _) => ("signed in", "sign in"),
        ("logout", _) => ("signed out", "sign out"),
        ("login_failed", _) => return "failed to sign in".to_owned(),
        ("lockout", _) => return "was locked out".to_owned(),
        _ if body.kind.as_deref() == Some("request") && body.request.is_some() => return asked(body),
        ("create" | "add" | "insert", _) => ("created", "create"),
        ("delete" | "remove", _) => ("deleted", "delete"),
        ("read" | "view" | "list", _) => ("read", "read"),
        ("update" | "change", _) | (_, Category::Update) => ("changed", "change"),
        _ if is_in_doubt => return format!("may have done {action}"),
        _ => return did(action, body),
    };
    match body.outcome.as_deref() {
        _ if is_in_doubt => format!("may have {done}"),
        Some("denied") => format!("was not allowed to {infinitive}"),
        Some("failure") => format!("failed to {infinitive}"),
        Some("aborted") => format!("{done} ({})", aborted(body)),
        _ => done.to_owned(),
    }
}

fn asked(body: &Body) -> String {
    let line = body.request_line().unwrap_or_else(|| "a request".to_owned());
    match body.outcome.as_deref() {
        Some("denied") => format!("was denied {line}"),
        Some("aborted") => format!("sent {line} ({})", aborted(body)),
        _ => format!("sent {line}"),
    }
}

/// What `aborted` means: of a change that its transaction was rolled back, of a request or task that it did not come to its end.
pub(super) fn aborted(body: &Body) -> &'static str {
    if matches!(body.kind.as_deref(), Some("change" | "action" | "auth")) { "rolled back" } else { "aborted" }
}

fn did(action: &str, body: &Body) -> String {
    match body.outcome.as_deref() {
        Some("denied") => format!("was denied {action}"),
        Some("failure") => format!("failed at {action}"),
        Some("aborted") => format!("did {action} ({})", aborted(body)),
        _ => format!("did {action}"),
    }
}

/// The last part of the action.
fn verb(body: &Body) -> &str {
    body.action.as_deref().and_then(|action| action.rsplit('.').next()).unwrap_or_default()
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(kind: &str, action: &str, outcome: &str) -> Body {
        Body::parse(format!(r#"{{"kind":"{kind}","action":"{action}","outcome":"{outcome}"}}"#).as_bytes())
    }

    #[test]
    fn a_deed_is_said_in_words() {
        for (kind, action, outcome, category, deed_in_words) in [
            ("change", "patient.update", "success", Category::Update, "changed"),
            ("change", "patient.create", "aborted", Category::Create, "created (rolled back)"),
            ("change", "patient.delete", "denied", Category::Denied, "was not allowed to delete"),
            ("change", "patient.discharge", "success", Category::Update, "changed"),
            ("read", "patient.read", "success", Category::Read, "read"),
            ("auth", "auth.login_failed", "failure", Category::Auth, "failed to sign in"),
            ("auth", "auth.login", "failure", Category::Auth, "failed to sign in"),
            ("action", "invoice.approve", "success", Category::Other, "did invoice.approve"),
            ("request", "page.error", "failure", Category::Other, "failed at page.error"),
            ("request", "request.delete", "success", Category::Other, "deleted"),
        ] {
            let body = body(kind, action, outcome);
            assert_eq!((Category::of(&body), deed(&body, false).as_str()), (category, deed_in_words), "{action}");
        }
        let in_doubt =
            [("change", "patient.update"), ("action", "invoice.approve")].map(|(kind, action)| deed(&body(kind, action, "success"), true));
        assert_eq!(in_doubt, ["may have changed", "may have done invoice.approve"]);
        let request = r#"{"kind":"request","action":"request.post","outcome":"OUTCOME","request":{"method":"POST","path":"/x/"}}"#;
        for (outcome, said) in [("success", "sent POST /x/"), ("denied", "was denied POST /x/"), ("aborted", "sent POST /x/ (aborted)")] {
            assert_eq!(deed(&Body::parse(request.replace("OUTCOME", outcome).as_bytes()), false), said);
        }
        assert_eq!(
            [body("auth", "auth.login", "success"), body("auth", "auth.staff_grant", "success")].map(|body| Category::Auth.word(&body)),
            ["Sign-in", "Account"]
        );
        assert_eq!(Category::Other.word(&body("request", "x", "success")), "Request");
    }
}
