//! The HTTP server: bounded in connections, requests, bytes and time. It runs in a thread of its own and
//! hands whole requests over to whoever commits them.

use super::accept;
use super::answer::{self, Refused};
use super::auth::Tokens;
use super::limits::{
    BODY_TIME_MAX, COMMIT_TIME_MAX, CONNECTIONS_MAX, DRAIN_TIME_MAX, HEAD_BYTES_MAX, HEAD_TIME_MAX,
    HEADERS_MAX, HELD_BODIES_MAX, REQUESTS_MAX,
};
use super::request::{Head, content_of, notation_of_answer};
use crate::telemetry::Metrics;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use weir_collector::push::Answer;
use weir_collector::push::body::Delivery;

/// Who may send, and how much.
pub struct Door {
    /// The tokens that let somebody in; none where anybody who can connect may send.
    pub tokens: Option<Tokens>,
    /// How connections are made secret; none where they are not.
    pub tls: Option<TlsAcceptor>,
    /// Whoever can connect has shown a certificate.
    pub are_clients_known: bool,
    /// Most bytes of a body.
    pub body_bytes_max: usize,
}

/// A whole request, and who waits for its answer.
pub struct Arrival {
    /// The request.
    pub delivery: Delivery,
    /// Where its answer goes; dropped where there is none.
    pub answer: oneshot::Sender<Answer>,
    /// The room that it takes until it is committed, whether or not anybody still waits.
    pub room: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

/// A server that runs.
pub struct Server {
    is_draining: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts a server on a socket; what arrives comes out of the receiver, which ends with the server.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        socket: std::net::TcpListener,
        door: Door,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Receiver<Arrival>)> {
        let (arrivals, receiver) = sync_channel(REQUESTS_MAX);
        let is_draining = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            bytes: Arc::new(Semaphore::new(HELD_BODIES_MAX * kibibytes(door.body_bytes_max) as usize)),
            door,
            arrivals,
            metrics,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = is_draining.clone();
        let run = move || {
            runtime.block_on(async {
                match TcpListener::from_std(socket) {
                    Ok(listener) => serve(listener, shared, &stop).await,
                    Err(error) => tracing::error!(%error, "the listener's socket cannot be used"),
                }
            });
        };
        let thread = std::thread::Builder::new().name("listen".into()).spawn(run).context("no thread")?;
        Ok((Self { is_draining, thread }, receiver))
    }

    /// Takes no more connections; what is under way is brought to its end.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Ends the server when what is under way has its answer.
    pub fn end(self) {
        self.drain();
        if self.thread.join().is_err() {
            tracing::error!("the listener's thread panicked; please report it");
        }
    }
}

struct Shared {
    door: Door,
    /// Requests that may still be read or wait.
    requests: Arc<Semaphore>,
    /// Bytes of bodies that may still be held, in KiB.
    bytes: Arc<Semaphore>,
    arrivals: SyncSender<Arrival>,
    metrics: Arc<Metrics>,
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, is_draining: &AtomicBool) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    while !is_draining.load(Ordering::Relaxed) {
        let Some((stream, room)) = accept::next(&listener, &connections).await else { continue };
        let (shared, watcher) = (shared.clone(), graceful.watcher());
        tokio::spawn(async move {
            match &shared.door.tls {
                None => connection(stream, shared.clone(), watcher).await,
                Some(tls) => match timeout(HEAD_TIME_MAX, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, shared.clone(), watcher).await,
                    Ok(Err(error)) => shared.metrics.handshake_failed(&error.to_string()),
                    Err(_) => shared.metrics.handshake_failed("the client took too long"),
                },
            }
            drop(room);
        });
    }
    drop(listener);
    // What is still under way by then is not answered, and comes again elsewhere.
    let _ = timeout(DRAIN_TIME_MAX, graceful.shutdown()).await;
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    shared: Arc<Shared>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.respond(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}

impl Shared {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let content = content_of(request.uri().path());
        let notation = notation_of_answer(request.headers());
        let outcome = self.take(request).await;
        let response = outcome.unwrap_or_else(|refused| {
            self.metrics.request_refused(content, refused.status.as_u16(), &refused.reason);
            answer::refusal(&refused, notation)
        });
        self.metrics.request_answered(content, response.status().as_u16());
        response
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refused> {
        let came = Instant::now();
        self.allow(&request)?;
        let (head, body) = request.into_parts();
        let head = Head::of(&head.method, head.uri.path(), &head.headers)?;
        // Not 429, which some exporters take for a fault of theirs and drop what they have.
        let Ok(place) = self.requests.clone().try_acquire_owned() else {
            let reason = format!("{REQUESTS_MAX} requests are under way: send it again later");
            return Err(Refused::for_now(StatusCode::SERVICE_UNAVAILABLE, &reason));
        };
        let read = timeout_at((came + BODY_TIME_MAX).into(), self.read(body)).await;
        let (body, held) = read.map_err(|_| {
            // Not 408, which exporters take for a fault of theirs.
            let reason = format!("the body did not come within {} s: send it again", BODY_TIME_MAX.as_secs());
            Refused::for_now(StatusCode::SERVICE_UNAVAILABLE, &reason)
        })??;
        let delivery =
            Delivery { content: head.content, notation: head.notation, packing: head.packing, body };
        let (answer, waiting) = oneshot::channel();
        let away = || {
            let reason = "it was not committed in time, or this process ends: send it again";
            Refused::for_now(StatusCode::SERVICE_UNAVAILABLE, reason)
        };
        let room = (place, held);
        self.arrivals.try_send(Arrival { delivery, answer, room }).map_err(|_| away())?;
        match timeout(COMMIT_TIME_MAX, waiting).await {
            Ok(Ok(answer)) => answer::of(head.content, head.notation, answer),
            _ => Err(away()),
        }
    }

    fn allow(&self, request: &Request<Incoming>) -> Result<(), Refused> {
        let headers = request.headers();
        match &self.door.tokens {
            Some(tokens) if tokens.allow(headers.get(AUTHORIZATION).map(|value| value.as_bytes())) => Ok(()),
            Some(_) => {
                let reason = "send `Authorization: Bearer TOKEN`, with a token of the listener's".into();
                Err(Refused { status: StatusCode::UNAUTHORIZED, reason })
            }
            // A page in somebody's browser on this machine is nobody's gateway.
            None if !self.door.are_clients_known && headers.contains_key(ORIGIN) => {
                let reason = "requests of browsers are not taken without a token".into();
                Err(Refused { status: StatusCode::FORBIDDEN, reason })
            }
            None => Ok(()),
        }
    }

    /// The whole body, and the room that it takes.
    async fn read(&self, mut body: Incoming) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Refused> {
        let bytes_max = self.door.body_bytes_max;
        let too_large = || Refused {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            reason: format!(
                "the body is over the limit of {bytes_max} bytes: send smaller batches, or raise \
                 listener.body_bytes_max"
            ),
        };
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(too_large());
        }
        let (mut bytes, mut held): (Vec<u8>, Option<OwnedSemaphorePermit>) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                let reason = "the body ended before its end".into();
                return Err(Refused { status: StatusCode::BAD_REQUEST, reason });
            };
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
            let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let lacks = kibibytes(bytes.len()).saturating_sub(has as u32);
            if lacks > 0 {
                let Ok(more) = self.bytes.clone().try_acquire_many_owned(lacks) else {
                    let reason = "too much is under way: send it again later";
                    return Err(Refused::for_now(StatusCode::SERVICE_UNAVAILABLE, reason));
                };
                match &mut held {
                    Some(held) => held.merge(more),
                    None => held = Some(more),
                }
            }
        }
        Ok((bytes, held))
    }
}

fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}
