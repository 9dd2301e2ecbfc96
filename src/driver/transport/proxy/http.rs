use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Target, TunnelError, shown};
use crate::driver::proxy::{Login, Proxy};
use crate::driver::transport::TcpStream;

/// The longest answer, its headers counted.
const MAX_ANSWER: usize = 16 * 1024;

/// CONNECT (RFC 9110 §9.3.6, RFC 9112 §3.2.3).
pub(super) async fn connect(
    stream: &TcpStream,
    proxy: &Proxy,
    target: Target<'_>,
) -> Result<(), TunnelError> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(Login { user, password }) = &proxy.login {
        let login = STANDARD.encode(format!("{user}:{password}"));
        request.push_str(&format!("Proxy-Authorization: Basic {login}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        let head = read_head(stream, &mut answer).await?;
        match status(&head) {
            // The final answer is still to come.
            Some((100..=199, _)) => {}
            // A server does not speak first: what stands there is not its.
            Some((200..=299, _)) if answer.is_empty() => return Ok(()),
            Some((200..=299, _)) => {
                return Err(TunnelError::Proxy("sends more than its answer".into()));
            }
            Some((407, _)) if proxy.login.is_some() => {
                return Err(TunnelError::Login("refuses the user and the password (407)"));
            }
            Some((407, _)) => {
                return Err(TunnelError::Login("wants a user and a password (407)"));
            }
            Some((code, reason)) => {
                let text = format!("does not connect to {target}: {code} {}", shown(&reason));
                return Err(TunnelError::Target(text.trim_end().into()));
            }
            None => return Err(TunnelError::Proxy("does not answer in HTTP".into())),
        }
    }
}

/// Reads to the empty line behind the headers, and takes them out of `answer`.
async fn read_head(stream: &TcpStream, answer: &mut Vec<u8>) -> Result<Vec<u8>, TunnelError> {
    loop {
        if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = answer.split_off(at + 4);
            return Ok(std::mem::replace(answer, rest));
        }
        let begins = answer.len().min(5);
        if answer[..begins] != b"HTTP/"[..begins] {
            return Err(TunnelError::Proxy("does not answer in HTTP".into()));
        }
        if answer.len() >= MAX_ANSWER {
            return Err(TunnelError::Proxy("does not come to the end of its answer".into()));
        }
        let mut more = [0; 1024];
        match stream.read(&mut more).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => answer.extend_from_slice(&more[..count]),
        }
    }
}

/// The code and the reason of a status line (RFC 9112 §4).
fn status(head: &[u8]) -> Option<(u16, String)> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let line = String::from_utf8_lossy(line);
    let rest = line.strip_prefix("HTTP/1.")?;
    let mut words = rest.splitn(3, ' ');
    let (version, code) = (words.next()?, words.next()?);
    let is_number = |word: &str, len| word.len() == len && word.bytes().all(|b| b.is_ascii_digit());
    if !is_number(version, 1) || !is_number(code, 3) {
        return None;
    }
    Some((code.parse().ok()?, words.next().unwrap_or_default().trim().to_owned()))
}
