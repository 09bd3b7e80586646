//! Who did it.

use super::names;
use crate::json::Json;

names! {
    /// What an actor is.
    ActorType {
        /// A person with an account.
        User = "user",
        /// Another service.
        Service = "service",
        /// The application itself: a command, a schedule.
        System = "system",
        /// Somebody who has not said who they are.
        Anonymous = "anonymous",
        /// Nobody looked; `session` joins it with the login.
        Unresolved = "unresolved",
    }
}

/// Who did it. Copied into the event: nothing points to a user table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// What the actor is.
    pub r#type: ActorType,
    /// Identifier in the application.
    pub id: Option<String>,
    /// Name to show.
    pub label: Option<String>,
    /// How the actor proved it: `session`, `token`, `jwt`.
    pub auth: Option<String>,
    /// Keyed hash of the session.
    pub session: Option<String>,
    /// For whom the actor acted.
    pub on_behalf_of: Option<Box<Actor>>,
    /// Roles at that moment.
    pub roles: Vec<String>,
    /// Further members that a setting asked for: name and value.
    pub extra: Vec<(String, Json)>,
}

impl Actor {
    /// An actor of whom nothing more is known.
    #[must_use]
    pub fn new(r#type: ActorType) -> Self {
        Self { r#type, id: None, label: None, auth: None, session: None, on_behalf_of: None, roles: Vec::new(), extra: Vec::new() }
    }

    /// A person with an account.
    #[must_use]
    pub fn user(id: impl Into<String>, label: impl Into<String>) -> Self {
        Self { id: Some(id.into()), label: Some(label.into()), ..Self::new(ActorType::User) }
    }

    /// The application itself, for example `system("nightly-sync")`.
    #[must_use]
    pub fn system(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::new(ActorType::System) }
    }
}
