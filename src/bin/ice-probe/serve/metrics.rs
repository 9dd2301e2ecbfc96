//! `serve --metrics`: what the servers have done, in Prometheus' text format,
//! over HTTP.

use std::convert::Infallible;
use std::fmt::Write as _;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Scrapers that are served at once.
const MAX_CONNECTIONS: usize = 16;

/// How long a connection may last.
const LIMIT: Duration = Duration::from_secs(10);

/// What a scraper is told that it gets.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A figure: name, kind, what it is, and its value.
pub(crate) type Figure = (&'static str, Kind, &'static str, u64);

/// What kind of figure.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Where the figures are to be had.
pub(crate) struct Metrics(TcpListener);

impl Metrics {
    /// At this address.
    pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        TcpListener::bind(address).await.map(Metrics)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> std::io::Result<String> {
        Ok(format!("http://{}/metrics", self.0.local_addr()?))
    }

    /// Gives out what `figures` says, to each connection what it says then.
    pub(crate) async fn serve(&self, figures: impl Fn() -> Vec<Figure>) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = room.clone().acquire_owned().await else { return };
            match self.0.accept().await {
                Ok((stream, _)) => {
                    let text = text(&figures());
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(LIMIT, answer(stream, text.into())).await;
                        drop(place);
                    });
                }
                // The system has nothing left to accept with.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
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
    for (name, kind, help, value) in figures {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
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
        let figures = [
            ("floe_answered_total", Kind::Counter, "Requests that were answered.", 7),
            ("floe_allocations", Kind::Gauge, "Allocations that last.", 2),
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
