//! Who may see pages: one-time links become sessions. Both live in memory only, as digests of what the visitor holds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indelible_core::{Actor, ActorType};
use sha2::{Digest as _, Sha256};

/// How long a link waits to be opened.
pub(crate) const LINK_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// A session that nobody used for so long has ended.
const SESSION_IDLE: Duration = Duration::from_secs(15 * 60);
/// A session ends after so long, however much it is used.
const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Links that wait at the same time; the oldest gives way.
const LINKS_MAX: usize = 16;
/// Sessions at the same time; the one that was idle longest gives way.
const SESSIONS_MAX: usize = 256;
/// Length of tokens: nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;
/// Digits of a session's digest that stand in the trail: enough to tell sessions apart, too few to find the token.
const SESSION_NAME_BYTES: usize = 8;

type Digest = [u8; 32];

/// The links and sessions of one agent. They end with its process.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    links: HashMap<Digest, Link>,
    sessions: HashMap<Digest, Session>,
}

#[derive(Debug)]
struct Link {
    issued: Instant,
    uid: Option<u32>,
}

#[derive(Debug)]
struct Session {
    began: Instant,
    used: Instant,
    uid: Option<u32>,
}

/// Who looks at a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    uid: Option<u32>,
    session: String,
}

impl Visitor {
    /// The visitor as an actor of the trail: the user who asked for the link, as that process stated it, and the session.
    pub(super) fn actor(&self) -> Actor {
        let mut actor = Actor::new(self.uid.map_or(ActorType::Unresolved, |_| ActorType::User));
        actor.id = self.uid.map(|uid| format!("uid:{uid}"));
        actor.auth = Some("link".to_owned());
        actor.session = Some(self.session.clone());
        actor
    }
}

impl Sessions {
    /// Makes a link for a user and answers its token, which opens one session within [`LINK_LIFETIME`].
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn issue(&self, uid: Option<u32>, now: Instant) -> Result<String, getrandom::Error> {
        let token = random_token()?;
        let mut inner = self.locked();
        inner.links.retain(|_, link| now.duration_since(link.issued) < LINK_LIFETIME);
        make_room(&mut inner.links, LINKS_MAX, |link| link.issued);
        inner.links.insert(digest(&token), Link { issued: now, uid });
        Ok(token)
    }

    /// Opens a session with a link's token, which is used up by that; answers the session's own token.
    ///
    /// `None`: no such link waits: it was opened before, is too old, or never was.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn open(&self, token: &str, now: Instant) -> Result<Option<(String, Visitor)>, getrandom::Error> {
        let mut inner = self.locked();
        let Some(link) = inner.links.remove(&digest(token)).filter(|link| now.duration_since(link.issued) < LINK_LIFETIME) else {
            return Ok(None);
        };
        let token = random_token()?;
        inner.sessions.retain(|_, session| session.is_alive(now));
        make_room(&mut inner.sessions, SESSIONS_MAX, |session| session.used);
        inner.sessions.insert(digest(&token), Session { began: now, used: now, uid: link.uid });
        let visitor = visitor(&digest(&token), link.uid);
        Ok(Some((token, visitor)))
    }

    /// The visitor of a session that is alive, which thereby is used.
    pub(super) fn visitor(&self, token: &str, now: Instant) -> Option<Visitor> {
        let mut inner = self.locked();
        let key = digest(token);
        let session = inner.sessions.get_mut(&key)?;
        if !session.is_alive(now) {
            inner.sessions.remove(&key);
            return None;
        }
        session.used = now;
        Some(visitor(&key, session.uid))
    }

    /// Ends a session.
    pub(super) fn close(&self, token: &str) {
        self.locked().sessions.remove(&digest(token));
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_alive(&self, now: Instant) -> bool {
        now.duration_since(self.used) < SESSION_IDLE && now.duration_since(self.began) < SESSION_LIFETIME
    }
}

/// A token that nobody can guess, as hexadecimal digits.
pub(crate) fn random_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(hexadecimal(&bytes))
}

/// The lookup compares digests: how long it takes says nothing about a token.
fn digest(token: &str) -> Digest {
    Sha256::digest(token).into()
}

fn visitor(session: &Digest, uid: Option<u32>) -> Visitor {
    Visitor { uid, session: hexadecimal(&session[..SESSION_NAME_BYTES]) }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make_room<T>(held: &mut HashMap<Digest, T>, most: usize, age: impl Fn(&T) -> Instant) {
    while held.len() >= most {
        let Some(oldest) = held.iter().min_by_key(|(_, one)| age(one)).map(|(key, _)| *key) else { return };
        held.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    #[test]
    fn a_link_opens_one_session_and_only_while_it_is_young() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let link = sessions.issue(Some(7), start).unwrap();
        let (session, visitor) = sessions.open(&link, start + minutes(9)).unwrap().unwrap();
        assert_eq!(sessions.visitor(&session, start + minutes(10)), Some(visitor));
        assert_eq!(sessions.open(&link, start + minutes(9)).unwrap(), None, "a second time");
        let old = sessions.issue(None, start).unwrap();
        assert_eq!(sessions.open(&old, start + minutes(10)).unwrap(), None, "too late");
        assert_eq!(sessions.open("", start).unwrap(), None);
    }

    #[test]
    fn a_session_ends_when_idle_and_after_half_a_day_in_any_case() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let open = |now| sessions.open(&sessions.issue(None, now).unwrap(), now).unwrap().unwrap().0;
        let idle = open(start);
        assert_eq!(sessions.visitor(&idle, start + minutes(15)), None);
        let busy = open(start);
        let seen = (0..100).map(|turn| minutes(10 * turn)).take_while(|passed| sessions.visitor(&busy, start + *passed).is_some()).last();
        assert_eq!(seen, Some(minutes(12 * 60 - 10)));
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_gives_way() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let links: Vec<_> =
            (0..=LINKS_MAX as u64).map(|second| sessions.issue(None, start + Duration::from_secs(second)).unwrap()).collect();
        assert!(sessions.open(&links[0], start + minutes(1)).unwrap().is_none(), "the oldest");
        assert!(sessions.open(&links[1], start + minutes(1)).unwrap().is_some());
    }

    #[test]
    fn a_closed_session_is_gone() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (session, _) = sessions.open(&sessions.issue(None, now).unwrap(), now).unwrap().unwrap();
        sessions.close(&session);
        assert_eq!(sessions.visitor(&session, now), None);
    }

    #[test]
    fn the_visitor_is_the_user_who_asked_and_the_session_is_named_without_its_token() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (token, visitor) = sessions.open(&sessions.issue(Some(33), now).unwrap(), now).unwrap().unwrap();
        let actor = visitor.actor();
        assert_eq!((actor.id.as_deref(), actor.auth.as_deref()), (Some("uid:33"), Some("link")));
        assert!(actor.session.is_some_and(|session| session.len() == 16 && !token.contains(&session)));
    }
}
