//! The server: HTTP/1.1, HTTP/2 and length-prefixed JSON on one port, bounded in connections, requests, bytes
//! and time, in a thread of its own.

use super::answer::Desk;
use super::door::{Door, is_grpc};
use super::frames;
use super::grpc::{self, State};
use super::http;
use super::limits::{
    CONNECTION_AGE_MAX, CONNECTIONS_MAX, DRAIN_TIME_MAX, HEAD_BYTES_MAX, HEADERS_MAX, IDLE_TIME_MAX,
    PING_EVERY, PING_TIME_MAX, REQUEST_TIME_MAX, STREAMS_MAX,
};
use crate::listen::accept;
use anyhow::Result;
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Version};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tower_service::Service as _;

/// A server that runs.
pub struct Server {
    /// The address that was bound.
    pub bound: SocketAddr,
    state: watch::Sender<State>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves what `desk` answers to whom `door` lets in.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(address: &str, door: Door, desk: Arc<Desk>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let bound = listener.local_addr()?;
        let (grpc, reporter) = grpc::routes(desk.clone())?;
        let router = http::routes(desk.clone()).merge(grpc).layer(from_fn(within_time));
        let door = Arc::new(door);
        let asked = door.clone();
        let router = router.layer(from_fn(move |request: Request, next: Next| {
            let refusal = asked.refusal(&request);
            async move {
                match refusal {
                    Some(refusal) => refusal,
                    None => next.run(request).await,
                }
            }
        }));
        let (state, states) = watch::channel(State::Reading);
        let thread = std::thread::Builder::new().name("decide".into()).spawn(move || {
            runtime.block_on(async {
                tokio::spawn(grpc::tell_health(reporter, states.clone()));
                serve(listener, door, (router, desk), states).await;
            });
        })?;
        Ok(Self { bound, state, thread })
    }

    /// The table was read: what is answered from now on is worth something.
    pub fn answers(&self) -> impl Fn() + Send + 'static {
        let state = self.state.clone();
        move || {
            state.send_if_modified(|state| {
                let is_news = *state == State::Reading;
                if is_news {
                    *state = State::Answering;
                }
                is_news
            });
        }
    }

    /// Takes no more connections, and ends when what is under way has its answer.
    pub fn end(self) {
        self.state.send_replace(State::Ending);
        if self.thread.join().is_err() {
            tracing::error!("the decision server's thread panicked; please report it");
        }
    }
}

async fn serve(
    listener: TcpListener,
    door: Arc<Door>,
    (router, desk): (Router, Arc<Desk>),
    states: watch::Receiver<State>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let builder = builder();
    while *states.borrow() != State::Ending {
        let Some((stream, room)) = accept::next(&listener, &connections).await else { continue };
        let (builder, door, router, desk) = (builder.clone(), door.clone(), router.clone(), desk.clone());
        let mut states = states.clone();
        tokio::spawn(async move {
            if !door.has_tls() {
                match frames::begins(&stream, &mut states).await {
                    Some(true) => frames::serve(stream, desk, &door, states).await,
                    Some(false) => connection(stream, &builder, router, states).await,
                    None => {}
                }
            } else if let Some(stream) = door.secure(stream).await {
                if stream.get_ref().1.alpn_protocol() == Some(frames::PROTOCOL) {
                    frames::serve(stream, desk, &door, states).await;
                } else {
                    connection(stream, &builder, router, states).await;
                }
            }
            drop(room);
        });
    }
    drop(listener);
    // Each connection gives its permit back when it has ended.
    let _ = timeout(DRAIN_TIME_MAX, connections.acquire_many(CONNECTIONS_MAX as u32)).await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME_MAX);
    builder
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    builder: &auto::Builder<TokioExecutor>,
    router: Router,
    states: watch::Receiver<State>,
) {
    let (has_asked, is_http2) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (asked, by_http2) = (has_asked.clone(), is_http2.clone());
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        by_http2.store(request.version() == Version::HTTP_2, Ordering::Relaxed);
        router.clone().call(request)
    });
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    let end = end_of(&has_asked, &is_http2, states, (IDLE_TIME_MAX, CONNECTION_AGE_MAX));
    let mut end = std::pin::pin!(end);
    let first = poll_fn(|context| match served.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
        Poll::Pending => end.as_mut().poll(context).map(Err),
    });
    let outcome = match first.await {
        Ok(outcome) => outcome,
        Err(End::Cut) => return,
        Err(End::Drained) => {
            served.as_mut().graceful_shutdown();
            let Ok(outcome) = timeout(DRAIN_TIME_MAX, served).await else { return };
            outcome
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a gateway's connection ended");
    }
}

/// How a connection ends that does not end of itself.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// At once.
    Cut,
    /// When what is under way has its answer.
    Drained,
}

/// Waits until a connection is to end: it says nothing for so long, or is so old, or the server ends.
async fn end_of(
    has_asked: &AtomicBool,
    is_http2: &AtomicBool,
    mut states: watch::Receiver<State>,
    (idle_max, age_max): (Duration, Duration),
) -> End {
    let mut is_ending = async || {
        let _ = states.wait_for(|state| *state == State::Ending).await;
    };
    if timeout(idle_max, is_ending()).await.is_ok() {
        return End::Drained;
    }
    // Whoever says nothing for so long, or half a first word, wants nothing.
    if !has_asked.load(Ordering::Relaxed) {
        return End::Cut;
    }
    let is_old = timeout(age_max.saturating_sub(idle_max), is_ending()).await.is_err();
    // The end of one of HTTP/1.1 could meet a request. HTTP/2 says which requests it still answers.
    if is_old && !is_http2.load(Ordering::Relaxed) {
        is_ending().await;
    }
    End::Drained
}

/// Whoever takes too long over a request is told so, in the words of its transport.
async fn within_time(request: Request, next: Next) -> Response {
    let is_grpc = is_grpc(&request);
    match timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) if is_grpc => {
            tonic::Status::deadline_exceeded("the request took too long").into_http::<axum::body::Body>()
        }
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test may fail loudly.
mod tests {
    use super::*;

    const SOON: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(2));

    fn end(has_asked: bool, is_http2: bool, states: &watch::Receiver<State>) -> Option<End> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (has_asked, is_http2) = (AtomicBool::new(has_asked), AtomicBool::new(is_http2));
        let end = end_of(&has_asked, &is_http2, states.clone(), SOON);
        runtime.block_on(async { timeout(Duration::from_millis(500), end).await.ok() })
    }

    #[test]
    fn a_connection_ends_when_it_says_nothing_and_one_of_http2_when_it_is_old() {
        let (state, states) = watch::channel(State::Answering);
        assert_eq!(end(false, false, &states), Some(End::Cut));
        assert_eq!(end(true, true, &states), Some(End::Drained));
        assert_eq!(end(true, false, &states), None, "its end could meet a request");
        state.send_replace(State::Ending);
        assert_eq!(end(true, false, &states), Some(End::Drained));
        assert_eq!(end(false, false, &states), Some(End::Drained));
    }
}
