//! What servers have done, in Prometheus' text format, over HTTP.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::driver::transport::TcpListener;

/// Scrapers that are served at once.
const MAX_CONNECTIONS: usize = 16;

/// How long a connection may last.
const LIMIT: Duration = Duration::from_secs(10);

/// What a scraper is told that it gets.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name, as in `floe_allocations`; of a counter it ends in `_total`.
    pub name: &'static str,
    /// Which kind it is of.
    pub kind: FigureKind,
    /// What it says: one line.
    pub help: &'static str,
    /// How much it is now.
    pub value: u64,
}

/// What kind of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Where figures are to be had, at the path `/metrics`. It is safe to scrape for
/// anybody: 16 are answered at a time, each within 10 s.
#[derive(Debug)]
pub struct Metrics(TcpListener);

impl Metrics {
    /// Listens at this address; port 0 leaves the port to the system.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        super::listen(address).map(Metrics)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.0.local())
    }

    /// Gives out what `figures` says, to each connection what it says then. It
    /// does not end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: who has connected is answered all the same.
    pub async fn serve(&self, figures: impl Fn() -> Vec<Figure>) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = room.clone().acquire_owned().await else { return };
            match poll_fn(|cx| self.0.poll_accept(cx)).await {
                Some(Ok(stream)) => {
                    let Some(stream) = stream.into_io() else { continue };
                    let text = text(&figures());
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(LIMIT, answer(stream, text.into())).await;
                        drop(place);
                    });
                }
                Some(Err(_)) => tokio::time::sleep(super::REST).await,
                None => return,
            }
        }
    }
}

/// Answers one request.
async fn answer(stream: TcpStream, text: Bytes) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = response(request.method(), request.uri().path(), text.clone());
        async { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).timer(TokioTimer::new());
    // Whatever goes wrong with a scraper is its own affair.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

fn response(method: &Method, path: &str, text: Bytes) -> Response<Full<Bytes>> {
    let (status, name, value, body) = match (path, method.as_str()) {
        ("/metrics", "GET" | "HEAD") => (StatusCode::OK, CONTENT_TYPE, FORMAT, text),
        ("/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, ALLOW, "GET, HEAD", Bytes::new()),
        _ => (StatusCode::NOT_FOUND, CONTENT_TYPE, "text/plain", "only /metrics is here\n".into()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

/// The figures in Prometheus' text format.
fn text(figures: &[Figure]) -> String {
    let mut text = String::new();
    for Figure { name, kind, help, value } in figures {
        let kind = match kind {
            FigureKind::Counter => "counter",
            FigureKind::Gauge => "gauge",
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_the_text_format() {
        let figure = |name, kind, help, value| Figure { name, kind, help, value };
        let (answered, allocations) = ("Requests that were answered.", "Allocations that last.");
        let figures = [
            figure("floe_answered_total", FigureKind::Counter, answered, 7),
            figure("floe_allocations", FigureKind::Gauge, allocations, 2),
        ];
        let expected = "# HELP floe_answered_total Requests that were answered.\n\
                        # TYPE floe_answered_total counter\n\
                        floe_answered_total 7\n\
                        # HELP floe_allocations Allocations that last.\n\
                        # TYPE floe_allocations gauge\n\
                        floe_allocations 2\n";
        assert_eq!(text(&figures), expected);
    }
}
