//! A STUN server for the lab, written by hand, so that what an agent learns
//! about itself does not come from the code under test.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::namespace::Namespace;

const COOKIE: u32 = 0x2112_a442;
const PORT_MASK: u16 = 0x2112;

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct StunServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StunServer {
    /// Answers Binding requests over IPv4 at `address` of `namespace`.
    pub(crate) fn start(namespace: &Namespace, address: SocketAddrV4) -> Self {
        let socket = namespace
            .run(|| UdpSocket::bind(address))
            .unwrap_or_else(|error| panic!("STUN server at {address}: {error}"));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || serve(&socket, &stop).expect("the server's socket works")
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for StunServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, stop: &AtomicBool) -> io::Result<()> {
    let mut request = [0; 1500];
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut request) {
            Ok((length, SocketAddr::V4(from))) => {
                if let Some(answer) = answer(&request[..length], from) {
                    socket.send_to(&answer, from)?;
                }
            }
            Ok((_, SocketAddr::V6(_))) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The success response to a Binding request: the mapped address, no more.
/// libnice asks in the manner of RFC 3489, without the cookie, and then wants
/// the address as it is.
fn answer(request: &[u8], from: SocketAddrV4) -> Option<Vec<u8>> {
    const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
    const MAPPED_ADDRESS: u16 = 0x0001;
    const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    const IPV4: u16 = 0x0001;
    let header = request.get(..20)?;
    if header[..2] != [0, 1] {
        return None;
    }
    let (attribute, port_mask, address_mask) = if header[4..8] == COOKIE.to_be_bytes() {
        (XOR_MAPPED_ADDRESS, PORT_MASK, COOKIE)
    } else {
        (MAPPED_ADDRESS, 0, 0)
    };
    let mut answer = BINDING_SUCCESS.to_vec();
    answer.extend(12_u16.to_be_bytes());
    answer.extend(&header[4..]);
    for word in [attribute, 8, IPV4, from.port() ^ port_mask] {
        answer.extend(word.to_be_bytes());
    }
    answer.extend((from.ip().to_bits() ^ address_mask).to_be_bytes());
    Some(answer)
}

/// What `answer` put into a response: the other half, for the lab's own tests.
pub(crate) fn mapped(response: &[u8]) -> Option<SocketAddrV4> {
    let port = u16::from_be_bytes(response.get(26..28)?.try_into().ok()?);
    let address = u32::from_be_bytes(response.get(28..32)?.try_into().ok()?);
    Some(SocketAddrV4::new(Ipv4Addr::from_bits(address ^ COOKIE), port ^ PORT_MASK))
}

/// A Binding request without attributes.
pub(crate) fn request() -> [u8; 20] {
    let mut request = [7; 20];
    request[..4].copy_from_slice(&[0, 1, 0, 0]);
    request[4..8].copy_from_slice(&COOKIE.to_be_bytes());
    request
}
