//! Accepting connections, each of which has a bound: how many, how long, and how much before the first answer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::guard::REQUEST_DEADLINE;

/// Connections that are open at the same time; others wait until one ends.
const CONNECTIONS_MAX: usize = 64;
/// Time for the head of a request to arrive.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// Time for an answer to be taken.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Pause after a connection could not be accepted, most likely for lack of file descriptors.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Answers every connection, without end.
///
/// A connection carries one request: whoever keeps it open keeps nobody else from being answered. When there is no place for one more,
/// the connection that has been silent for longest makes room.
pub(crate) async fn answer(listener: TcpListener, router: Router) -> Infallible {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let silent = Silent::default();
    let mut failing = false;
    let mut number = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                failing = false;
                number += 1;
                let place = place(&free, &silent).await;
                let answered = one(stream, router.clone(), silent.clone(), number);
                silent.begin(number, async move {
                    answered.await;
                    drop(place);
                });
            }
            Err(error) => {
                warn_once(&mut failing, &error);
                tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
}

/// Waits for a place, and makes room for it where somebody can be asked to leave.
async fn place(free: &Arc<Semaphore>, silent: &Silent) -> OwnedSemaphorePermit {
    if free.available_permits() == 0 {
        silent.give_up_oldest();
    }
    Arc::clone(free).acquire_owned().await.expect("this semaphore is never closed")
}

async fn one(stream: TcpStream, router: Router, silent: Silent, number: u64) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE).max_buf_size(HEAD_BYTES_MAX).keep_alive(false);
    let router = TowerToHyperService::new(router);
    let heard = silent.clone();
    let service = service_fn(move |request| {
        heard.end(number);
        router.call(request)
    });
    let connection = http.serve_connection(TokioIo::new(stream), service);
    // Whoever asked has gone, was too slow or spoke no HTTP: there is nobody to tell.
    let _ = tokio::time::timeout(HEAD_DEADLINE + REQUEST_DEADLINE + ANSWER_DEADLINE, connection).await;
    silent.end(number);
}

/// The connections whose request has not arrived yet, by the order in which they came.
#[derive(Debug, Clone, Default)]
struct Silent(Arc<Mutex<BTreeMap<u64, AbortHandle>>>);

impl Silent {
    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a connection. It cannot end before it is known.
    fn begin(&self, number: u64, connection: impl Future<Output = ()> + Send + 'static) {
        let mut connections = self.connections();
        connections.insert(number, tokio::spawn(connection).abort_handle());
    }

    /// Its request has arrived, or never will.
    fn end(&self, number: u64) {
        self.connections().remove(&number);
    }

    /// Closes the one that came first, if there is any.
    fn give_up_oldest(&self) {
        if let Some((_, connection)) = self.connections().pop_first() {
            connection.abort();
        }
    }
}

fn warn_once(failing: &mut bool, error: &io::Error) {
    if !std::mem::replace(failing, true) {
        tracing::warn!(%error, "cannot accept connections; trying again");
    }
}
