//! One connection: which protocol it speaks, and how slow it may be.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};

use super::bounds::{ANSWER_PAUSE, HEAD_BYTES, HEAD_TIME, PING, STREAMS};
use super::pace::{Paced, Times, Watch};
use super::request::Handler;

/// How a connection of HTTP/2 begins that was not negotiated, as a request of HTTP/1 cannot (RFC 9113, 3.4).
const HTTP2: &[u8] = b"PRI ";

/// Bytes that begin a connection of HTTP/2. hyper waits for them without end.
const PREFACE: usize = 24;

/// Serves one connection to its end. `closing` tells that it is to end after what it has begun.
pub(super) async fn serve(
    stream: TcpStream,
    local: SocketAddr,
    handler: Arc<Handler>,
    mut closing: watch::Receiver<bool>,
) {
    let Some(http2) = speaks_http2(&stream, &mut closing).await else {
        return;
    };
    let io = TokioIo::new(Patient {
        stream,
        pause: None,
        opening: http2.then(|| (Box::pin(sleep(HEAD_TIME)), PREFACE)),
    });
    // What ends a connection early is the client's doing, or was told where it happened.
    if http2 {
        let watch = Arc::new(Watch::new(Times::USUAL));
        let begun = Arc::clone(&watch);
        let service = service_fn(move |request| {
            let (answer, pace) = (Arc::clone(&handler).answer(request, local), begun.begin());
            async move { Ok::<_, Infallible>(answer.await?.map(|answer| pace.of(answer))) }
        });
        serve_http2(io, service, &watch, closing).await;
    } else {
        let service = service_fn(move |request| Arc::clone(&handler).answer(request, local));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES);
        let mut connection = pin!(builder.serve_connection(io, service));
        tokio::select! {
            ended = connection.as_mut() => drop(ended),
            () = is_closing(&mut closing) => {
                connection.as_mut().graceful_shutdown();
                drop(connection.await);
            }
        }
    }
}

/// Serves a connection of HTTP/2, with a watch on what is begun in it.
async fn serve_http2<I, S>(io: I, service: S, watch: &Watch, mut closing: watch::Receiver<bool>)
where
    I: Read + Write + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<Paced>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let mut connection = pin!(builder.serve_connection(io, service));
    tokio::select! {
        ended = connection.as_mut() => drop(ended),
        () = is_closing(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
        () = watch.until_idle() => {
            connection.as_mut().graceful_shutdown();
            // What it has not taken by then, it does not want.
            drop(timeout(watch.last_pause(), connection).await);
        }
    }
}

/// Waits until no more requests are to be begun.
async fn is_closing(closing: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could say so: the service has ended.
    drop(closing.wait_for(|closing| *closing).await);
}

/// Looks at the first bytes. `None` if none come.
async fn speaks_http2(stream: &TcpStream, closing: &mut watch::Receiver<bool>) -> Option<bool> {
    let mut start = [0; HTTP2.len()];
    let peeked = tokio::select! {
        peeked = timeout(HEAD_TIME, stream.peek(&mut start)) => peeked,
        () = is_closing(closing) => return None,
    };
    match peeked {
        // Whoever speaks it sends this much at once.
        Ok(Ok(1..)) => Some(start == HTTP2),
        _ => None,
    }
}

/// A stream whose other side must take what is written, now and then.
struct Patient {
    stream: TcpStream,
    pause: Option<Pin<Box<Sleep>>>,
    /// Until when the connection has to have begun, and how many bytes that still takes.
    opening: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Patient {
    fn taken<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.pause = None;
            return poll;
        }
        let pause = self
            .pause
            .get_or_insert_with(|| Box::pin(sleep(ANSWER_PAUSE)));
        match pause.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some((late, missing)) = &mut self.opening {
            *missing = missing.saturating_sub(buffer.filled().len().saturating_sub(before));
            if *missing == 0 {
                self.opening = None;
            } else if poll.is_pending() && late.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        poll
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.taken(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.taken(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{BodyExt, Empty};
    use tokio::io::duplex;

    use super::super::body::Answer;
    use super::*;

    /// What a client of HTTP/2 does with the answer to its one request, which is larger than the window: takes it, or not.
    async fn ask(is_taken: bool) -> usize {
        let times = Times {
            idle: Duration::from_millis(300),
            // Who takes it may be as slow as this machine.
            pause: if is_taken {
                ANSWER_PAUSE
            } else {
                Duration::from_millis(300)
            },
        };
        let watch = Arc::new(Watch::new(times));
        let (near, far) = duplex(64 << 10);
        let (_open, closing) = watch::channel(false);
        let begun = Arc::clone(&watch);
        let served = tokio::spawn(async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let pace = begun.begin();
                async move { Ok::<_, Infallible>(Response::new(pace.of(Answer::of(vec![0; 1 << 20])))) }
            });
            serve_http2(TokioIo::new(near), service, &watch, closing).await;
        });
        let client = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1000)
            .handshake(TokioIo::new(far));
        let (mut sender, connection) = client.await.expect("it answers");
        // It answers pings, whatever becomes of the answer.
        tokio::spawn(connection);
        let request = Request::get("http://test/")
            .body(Empty::<bytes::Bytes>::new())
            .expect("a request");
        let answer = sender.send_request(request).await.expect("a head");
        let (taken, kept) = if is_taken {
            let all = answer.into_body().collect().await.expect("all of it");
            (all.to_bytes().len(), None)
        } else {
            (0, Some(answer))
        };
        // The client ends nothing.
        served.await.expect("the server ends it");
        drop((kept, sender));
        taken
    }

    #[tokio::test]
    async fn a_client_of_http2_that_takes_its_answer_is_served_until_it_is_idle() {
        assert_eq!(ask(true).await, 1 << 20);
    }

    #[tokio::test]
    async fn a_client_of_http2_that_takes_nothing_holds_its_connection_for_some_time() {
        assert_eq!(ask(false).await, 0);
    }
}
