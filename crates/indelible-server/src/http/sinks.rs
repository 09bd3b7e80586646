//! `/v1/sinks`: how sinks are, and commands to them. Every command is an `audit.config` event before it is carried out.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use indelible_core::{Actor, Outcome};
use serde::{Deserialize, Serialize};

use super::Api;
use super::error::Problem;
use super::reads::stated_by;
use crate::ingest::OwnEvent;
use crate::sink::{Command, CommandError, DeadLetter, Health};

/// How long a request waits for a sink to carry out a command; the sink does it in any case.
const PATIENCE: Duration = Duration::from_secs(4);

/// What comes with a command.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// First leaf of a replay.
    #[serde(default)]
    pub(crate) from: Option<u64>,
    /// Only say what would be done.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Numeric id of the user who commands, as the commanding process states it.
    #[serde(default)]
    pub(crate) uid: Option<u32>,
}

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    sink: String,
    done: String,
}

/// How every sink is.
pub(super) fn health(api: &Api) -> Vec<Health> {
    api.status.sinks().map(crate::sink::Sinks::health).unwrap_or_default()
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Vec<Health>> {
    Json(health(&api))
}

pub(super) async fn dead(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Json<Vec<DeadLetter>>, Problem> {
    let letters = sinks(&api)?.dead_letters(&name)?;
    api.status.record(event("dead", &name, None, Actor::new(indelible_core::ActorType::Unresolved))).await?;
    Ok(Json(letters))
}

pub(super) async fn command(
    State(api): State<Arc<Api>>,
    Path((name, word)): Path<(String, String)>,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<Json<Done>, Problem> {
    let Json(order) = order.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let command = command_of(&word, &order)?;
    let sinks = sinks(&api)?;
    sinks.knows(&name)?;
    if order.dry_run {
        return Ok(Json(Done { done: would_be_done(&api, &name, command), sink: name }));
    }
    api.status.record(event(&word, &name, order.from, stated_by(order.uid))).await?;
    let answer = tokio::time::timeout(PATIENCE, sinks.order(&name, command)?).await;
    let done = match answer {
        Ok(Ok(answer)) => answer?,
        Ok(Err(_)) => return Err(CommandError::Refused.into()),
        Err(_) => return Err(CommandError::Busy.into()),
    };
    Ok(Json(Done { sink: name, done }))
}

fn command_of(word: &str, order: &Order) -> Result<Command, Problem> {
    let command = match (word, order.from) {
        ("test", None) => Command::Test,
        ("pause", None) => Command::Pause,
        ("resume", None) => Command::Resume,
        ("replay", Some(from)) => Command::Replay { from },
        ("replay-dead", None) => Command::ReplayDead,
        ("discard-dead", None) => Command::DiscardDead,
        ("replay", None) => return Err(Problem::new(StatusCode::BAD_REQUEST, "a replay needs `from`, a leaf")),
        (_, Some(_)) => return Err(Problem::new(StatusCode::BAD_REQUEST, "only a replay has `from`")),
        _ => {
            let problem = Problem::new(StatusCode::NOT_FOUND, "there is no such command for a sink");
            return Err(problem.help("there are test, pause, resume, replay, replay-dead and discard-dead"));
        }
    };
    Ok(command)
}

fn would_be_done(api: &Api, name: &str, command: Command) -> String {
    let Some(sink) = health(api).into_iter().find(|sink| sink.name == name) else { return String::new() };
    let signed = sink.next_leaf + sink.lag_records;
    match command {
        Command::Replay { from } => {
            format!("would deliver {} records again from leaf {from}", sink.next_leaf.min(signed).saturating_sub(from))
        }
        Command::ReplayDead => format!("would try {} dead letters again", sink.dead_letters),
        Command::DiscardDead => format!("would discard {} dead letters", sink.dead_letters),
        Command::Test | Command::Pause | Command::Resume => "would do so".to_owned(),
    }
}

fn event(command: &str, name: &str, from: Option<u64>, actor: Actor) -> OwnEvent {
    OwnEvent::new("audit.config", Outcome::Success).by(actor).about("sink", name).meta(|meta| {
        meta.string("command", command);
        if let Some(from) = from {
            meta.integer("from", from);
        }
    })
}

fn sinks(api: &Api) -> Result<&crate::sink::Sinks, Problem> {
    api.status.sinks().ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is starting"))
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let status = match error {
            CommandError::Unknown { .. } => StatusCode::NOT_FOUND,
            CommandError::Busy => StatusCode::GATEWAY_TIMEOUT,
            CommandError::Refused => StatusCode::SERVICE_UNAVAILABLE,
            CommandError::Failed(_) => StatusCode::BAD_GATEWAY,
        };
        Self::new(status, error)
    }
}
