//! The accept loop, with timeouts for every connection and a bound on connections, which warp's own server has not; with TLS
//! where there is a certificate. Knows no routes.

use super::answer::Answer;
use super::body::BodyLimits;
use super::endpoint::measure_unmatched;
use super::host;
use super::problem::Problem;
use super::tls::Certificate;
use super::write_timeout::WriteTimeout;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use warp::http::header::STRICT_TRANSPORT_SECURITY;
use warp::http::{HeaderValue, Request};
use warp::reply::Response;

/// How many connections may wait to be accepted, if the system allows so many.
const BACKLOG: u32 = 1_024;
/// How long a rejected connection may take to read its 503.
const REFUSAL_MAX: Duration = Duration::from_millis(500);
/// The most connections that get a 503 at once; more are closed without an answer.
const REFUSALS_MAX: usize = 64;
/// The longest pause after a failure to accept.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
const CUT_OFF_MAX: Duration = Duration::from_secs(1);
/// For a year, browsers ask this name with https only (RFC 6797).
const STRICT: HeaderValue = HeaderValue::from_static("max-age=31536000");

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// The most connections at once; more are answered 503 and closed.
    pub connections_max: usize,
    /// How long the head of a request may take, and the TLS handshake before it; also how long a connection may be silent
    /// between requests.
    pub header_read_max: Duration,
    /// How long a write may make no progress because the caller does not read.
    pub write_timeout: Duration,
    /// The most bytes of a request's head, however it arrives.
    pub header_bytes_max: usize,
    /// How long requests in flight may take to finish after the server was told to stop.
    pub drain_max: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            connections_max: 4_096,
            header_read_max: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
            header_bytes_max: 32 * 1024,
            drain_max: Duration::from_secs(20),
        }
    }
}

/// Where connections come in: with TLS if there is a certificate.
#[derive(Debug)]
pub struct Listener {
    pub tcp: TcpListener,
    pub certificate: Option<Arc<Certificate>>,
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Listener {
        Listener { tcp, certificate: None }
    }
}

/// The address of the connection, as an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    Completely,
    CutOff {
        /// How many were closed at the deadline.
        connections: usize,
    },
}

/// Listens with a long accept queue: a client that finds the queue full retries its SYN only after a second.
///
/// # Errors
/// When the address cannot be listened on.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // So that a restart need not wait for old connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown`, and then drains within the limits.
pub async fn serve<S>(
    listener: impl Into<Listener>,
    service: S,
    limits: ServerLimits,
    shutdown: CancellationToken,
) -> Drained
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let Listener { tcp, certificate } = listener.into();
    let server = Server {
        service,
        certificate,
        connections: Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS))),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        tasks: TaskTracker::new(),
        cut_off: CancellationToken::new(),
        shutdown,
        limits,
    };
    server.accept(&tcp).await;
    drop(tcp);
    server.drain().await
}

struct Server<S> {
    service: S,
    certificate: Option<Arc<Certificate>>,
    limits: ServerLimits,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    cut_off: CancellationToken,
}

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    async fn accept(&self, listener: &TcpListener) {
        let mut pause = Duration::ZERO;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    pause = Duration::ZERO;
                    self.admit(stream, Peer(from.ip()));
                }
                Err(error) if is_the_callers(&error) => {}
                Err(error) => {
                    // Usually out of file descriptors: trying again at once would only burn the processor.
                    pause = (pause * 2).clamp(Duration::from_millis(10), ACCEPT_PAUSE_MAX);
                    tracing::warn!(%error, pause_ms = pause.as_millis(), "accept failed");
                    ::metrics::counter!("rentcar_http_accept_errors_total").increment(1);
                    tokio::select! {
                        () = self.shutdown.cancelled() => return,
                        () = sleep(pause) => {}
                    }
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: Peer) {
        if let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() {
            self.tasks.spawn(self.connection(stream, peer, permit));
        } else {
            ::metrics::counter!("rentcar_http_connections_rejected_total").increment(1);
            if self.certificate.is_some() {
                // A handshake costs more than an answer is worth to a caller who is one too many.
                return;
            }
            if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
                self.tasks.spawn(async move {
                    let _ = timeout(REFUSAL_MAX, tell(stream, &Problem::overloaded(1_000))).await;
                    drop(permit);
                });
            }
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: Peer,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + use<S> {
        let (limits, certificate) = (self.limits.clone(), self.certificate.clone());
        let (shutdown, cut_off) = (self.shutdown.clone(), self.cut_off.clone());
        let service = Checked { service: self.service.clone(), peer, encrypted: certificate.is_some() };
        async move {
            let _permit = permit;
            // Answers are written whole, so Nagle's algorithm would only delay them.
            let _ = stream.set_nodelay(true);
            let gauge = ::metrics::gauge!("rentcar_http_connections");
            gauge.increment(1.0);
            match certificate {
                None => {
                    let stream = WriteTimeout::new(stream, limits.write_timeout);
                    exchange(stream, service, &limits, &shutdown, &cut_off).await;
                }
                Some(certificate) => {
                    let stream = tokio::select! {
                        stream = handshake(stream, certificate.acceptor(), &limits) => stream,
                        // Nothing is under way yet.
                        () = shutdown.cancelled() => None,
                    };
                    if let Some(stream) = stream {
                        exchange(stream, service, &limits, &shutdown, &cut_off).await;
                    }
                }
            }
            gauge.decrement(1.0);
        }
    }

    async fn drain(self) -> Drained {
        self.tasks.close();
        if timeout(self.limits.drain_max, self.tasks.wait()).await.is_ok() {
            return Drained::Completely;
        }
        let connections = self.tasks.len();
        tracing::warn!(connections, "connections closed at the shutdown deadline");
        self.cut_off.cancel();
        let _ = timeout(CUT_OFF_MAX, self.tasks.wait()).await;
        Drained::CutOff { connections }
    }
}

/// A service behind the checks that all requests of a connection pass.
#[derive(Clone)]
struct Checked<S> {
    service: S,
    peer: Peer,
    encrypted: bool,
}

impl<S> Checked<S>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    async fn call(mut self, mut request: Request<Incoming>) -> Result<Response, Infallible> {
        let mut response = match host::validate(&mut request) {
            Ok(()) => {
                request.extensions_mut().insert(self.peer);
                self.service.call(request).await?
            }
            Err(problem) => turned_away(request, problem).await,
        };
        if self.encrypted {
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, STRICT);
        }
        Ok(response)
    }
}

/// Answers the requests of a connection until its end, and until `shutdown` those that are under way.
async fn exchange<T, S>(
    stream: T,
    service: Checked<S>,
    limits: &ServerLimits,
    shutdown: &CancellationToken,
    cut_off: &CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone,
{
    let service = service_fn(move |request| service.clone().call(request));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_max)
        .max_header_size(limits.header_bytes_max)
        // hyper panics below 8192.
        .max_buf_size(limits.header_bytes_max.max(8_192));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => Some(ended),
                () = cut_off.cancelled() => None,
            }
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "connection closed early");
    }
}

/// The TLS handshake, which may take as long as the head of a request; `None` when there is none in time.
async fn handshake(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    limits: &ServerLimits,
) -> Option<TlsStream<WriteTimeout<TcpStream>>> {
    let shaking = async {
        let mut first = [0];
        // Methods begin with a letter, and no TLS does.
        if stream.peek(&mut first).await? > 0 && first[0].is_ascii_uppercase() {
            tell(stream, &Problem::https_needed()).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP instead of TLS"));
        }
        acceptor.accept(WriteTimeout::new(stream, limits.write_timeout)).await
    };
    let shaken = timeout(limits.header_read_max, shaking).await;
    match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, "no TLS handshake");
            ::metrics::counter!("rentcar_http_tls_handshake_failures_total").increment(1);
            None
        }
    }
}

/// Whether a failure to accept concerns one connection only, which is gone.
fn is_the_callers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted].contains(&error.kind())
}

/// Answers a request with an invalid `Host`, after its body has been read, so that the caller can read the answer.
async fn turned_away(request: Request<Incoming>, problem: Problem) -> Response {
    let started = Instant::now();
    let (head, body) = request.into_parts();
    BodyLimits::default().discard(&head.headers, body.into_data_stream()).await;
    let answer = Answer::from(problem);
    measure_unmatched(&answer, started);
    answer.into_response()
}

/// Answers a connection without looking at what it asks. What it sends is read before closing, since closing with unread
/// data would reset the connection before the answer is read.
async fn tell(mut stream: TcpStream, problem: &Problem) -> io::Result<()> {
    let body = serde_json::to_string(&problem.document()).unwrap_or_default();
    let reason = problem.status.canonical_reason().unwrap_or_default();
    let retry_after = problem.retry_after_ms.map(|ms| format!("retry-after: {}\r\n", ms.div_ceil(1_000)));
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {}\r\n{}connection: close\r\ncontent-length: {}\r\n\r\n",
        problem.status.as_u16(),
        super::problem::MEDIA_TYPE,
        retry_after.unwrap_or_default(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await?;
    let mut thrown_away = [0; 4_096];
    while stream.read(&mut thrown_away).await? > 0 {}
    Ok(())
}
