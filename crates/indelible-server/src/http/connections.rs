//! Accepting connections, each of which has a bound: how many, how long, and how much before the first answer.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::guard::REQUEST_DEADLINE;

/// Connections that are open at the same time; others wait to be accepted.
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
/// A connection carries one request: whoever keeps it open keeps nobody else from being answered.
pub(crate) async fn answer(listener: TcpListener, router: Router) -> Infallible {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut failing = false;
    loop {
        let place = Arc::clone(&free).acquire_owned().await.expect("this semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                failing = false;
                let answered = one(stream, router.clone());
                tokio::spawn(async move {
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

async fn one(stream: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE).max_buf_size(HEAD_BYTES_MAX).keep_alive(false);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Whoever asked has gone, was too slow or spoke no HTTP: there is nobody to tell.
    let _ = tokio::time::timeout(HEAD_DEADLINE + REQUEST_DEADLINE + ANSWER_DEADLINE, connection).await;
}

fn warn_once(failing: &mut bool, error: &io::Error) {
    if !std::mem::replace(failing, true) {
        tracing::warn!(%error, "cannot accept connections; trying again");
    }
}
