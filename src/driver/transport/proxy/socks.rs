use std::net::IpAddr;

use super::{Target, TunnelError, read_exact};
use crate::driver::proxy::{Login, Proxy};
use crate::driver::transport::TcpStream;

/// RFC 1928 §3 to §6, RFC 1929 §2.
const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const WITH_LOGIN: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// CONNECT of SOCKS 5 (RFC 1928).
pub(super) async fn connect(
    stream: &TcpStream,
    proxy: &Proxy,
    target: Target<'_>,
) -> Result<(), TunnelError> {
    let methods: &[u8] = match proxy.login {
        None => &[VERSION, 1, NO_LOGIN],
        Some(_) => &[VERSION, 2, NO_LOGIN, WITH_LOGIN],
    };
    stream.write_all(methods).await?;
    let [version, method] = read(stream).await?;
    match (version, method, &proxy.login) {
        (VERSION, NO_LOGIN, _) => {}
        (VERSION, WITH_LOGIN, Some(login)) => log_in(stream, login).await?,
        (VERSION, NO_METHOD, None) => {
            return Err(TunnelError::Login("wants a user and a password"));
        }
        (VERSION, NO_METHOD, Some(_)) => {
            return Err(TunnelError::Login("takes no user and password"));
        }
        _ => return Err(not_socks()),
    }
    stream.write_all(&request(target)).await?;
    let [version, reply, _, kind] = read(stream).await?;
    if version != VERSION {
        return Err(not_socks());
    }
    if reply != 0 {
        let why = refusal(reply);
        return Err(TunnelError::Target(format!("does not connect to {target}: {why}")));
    }
    // The address that the proxy connects from is of no use to us.
    let len = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => read::<1>(stream).await?[0].into(),
        _ => return Err(not_socks()),
    };
    let mut bound = [0; 255 + 2];
    Ok(read_exact(stream, &mut bound[..len + 2]).await?)
}

async fn read<const N: usize>(stream: &TcpStream) -> Result<[u8; N], TunnelError> {
    let mut bytes = [0; N];
    read_exact(stream, &mut bytes).await?;
    Ok(bytes)
}

async fn log_in(stream: &TcpStream, login: &Login) -> Result<(), TunnelError> {
    let mut message = vec![LOGIN_VERSION];
    push(&mut message, &login.user);
    push(&mut message, &login.password);
    stream.write_all(&message).await?;
    match read(stream).await? {
        [LOGIN_VERSION, 0] => Ok(()),
        [LOGIN_VERSION, _] => Err(TunnelError::Login("refuses the user and the password")),
        _ => Err(not_socks()),
    }
}

fn request(target: Target<'_>) -> Vec<u8> {
    let mut message = vec![VERSION, CONNECT, 0];
    let port = match target {
        Target::Address(address) => {
            match address.ip() {
                IpAddr::V4(ip) => {
                    message.push(IPV4);
                    message.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    message.push(IPV6);
                    message.extend(ip.octets());
                }
            }
            address.port()
        }
        Target::Name(name, port) => {
            message.push(NAME);
            push(&mut message, name);
            port
        }
    };
    message.extend(port.to_be_bytes());
    message
}

/// The text behind its length. No longer one gets here.
fn push(message: &mut Vec<u8>, text: &str) {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    message.push(len);
    message.extend(text.bytes().take(len.into()));
}

fn not_socks() -> TunnelError {
    TunnelError::Proxy("does not answer in SOCKS 5".into())
}

/// RFC 1928 §6.
fn refusal(reply: u8) -> String {
    match reply {
        1 => "it failed".into(),
        2 => "its rules forbid it".into(),
        3 => "the network is unreachable".into(),
        4 => "the host is unreachable, or has no address".into(),
        5 => "the connection was refused".into(),
        6 => "there was no answer in time".into(),
        7 => "it does not do that".into(),
        8 => "it has no addresses of this family".into(),
        other => format!("code {other}"),
    }
}
