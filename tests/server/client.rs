//! A client by hand: it says what it is told to say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use floe::stun::{
    Algorithm, AttributeType, Builder, Class, Integrity, IntegrityKey, Message, Method,
    PasswordAlgorithm, TransactionId,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::{Leg, PASSWORD, REALM, USER};

/// Nothing that the server does takes so long.
const LIMIT: Duration = Duration::from_secs(20);

/// An attribute with its value.
pub(crate) type Attribute = (AttributeType, Vec<u8>);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

enum Way {
    Udp(UdpSocket),
    Stream(Box<dyn Stream>),
}

pub(crate) struct Client {
    way: Way,
    pub(crate) local: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
    /// As the server gave them.
    pub(crate) realm: Option<String>,
    pub(crate) nonce: Option<Vec<u8>>,
    transactions: u32,
}

/// An answer; `code` is 0 for a success.
pub(crate) struct Answer {
    pub(crate) code: u16,
    bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).unwrap()
    }
}

impl Client {
    pub(crate) async fn new(leg: Leg, server: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        let (way, local) = match leg {
            Leg::Udp => {
                let socket = UdpSocket::bind((server.ip(), 0)).await.unwrap();
                socket.connect(server).await.unwrap();
                let local = socket.local_addr().unwrap();
                (Way::Udp(socket), local)
            }
            Leg::Tcp | Leg::Tls => {
                let stream = TcpStream::connect(server).await.unwrap();
                let local = stream.local_addr().unwrap();
                let stream: Box<dyn Stream> = match leg {
                    Leg::Tls => {
                        let name = ServerName::from(server.ip());
                        Box::new(TlsConnector::from(tls).connect(name, stream).await.unwrap())
                    }
                    _ => Box::new(stream),
                };
                (Way::Stream(stream), local)
            }
        };
        Client {
            way,
            local,
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            realm: None,
            nonce: None,
            transactions: 0,
        }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        match &mut self.way {
            Way::Udp(socket) => {
                socket.send(bytes).await.unwrap();
            }
            Way::Stream(stream) => {
                stream.write_all(bytes).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    }

    /// The next message without padding; `None` at the end of a connection.
    pub(crate) async fn receive(&mut self) -> Option<Vec<u8>> {
        tokio::time::timeout(LIMIT, self.way.receive()).await.expect("the server says nothing")
    }

    /// Sends a request, signed if the server gave a nonce, and takes its
    /// answer; data that comes before is skipped.
    pub(crate) async fn ask(&mut self, method: Method, attributes: &[Attribute]) -> Answer {
        let (id, request) = self.request(method, attributes);
        self.send(&request).await;
        self.answer(id).await
    }

    pub(crate) async fn answer(&mut self, id: TransactionId) -> Answer {
        loop {
            let bytes = self.receive().await.expect("the connection ended");
            let Ok(message) = Message::parse(&bytes) else { continue };
            if message.class() == Class::Indication || message.transaction_id() != id {
                continue;
            }
            let code = message.error().map_or(0, |error| error.code);
            if let (401 | 438, Some(nonce)) = (code, message.nonce()) {
                self.nonce = Some(nonce.to_vec());
                self.realm = message.realm().map(str::to_owned);
            } else if self.nonce.is_some() && message.method() != Method::BINDING {
                assert_eq!(message.verify(&self.key()), Integrity::Valid, "{code}");
            }
            return Answer { code, bytes };
        }
    }

    pub(crate) fn request(
        &mut self,
        method: Method,
        attributes: &[Attribute],
    ) -> (TransactionId, Vec<u8>) {
        let (id, mut out) = (self.next_id(), Vec::new());
        self.transactions += 1;
        let mut request = Builder::new(Class::Request, method, id, &mut out);
        for (kind, value) in attributes {
            request = request.attribute(*kind, value);
        }
        let key = match &self.nonce {
            Some(nonce) if method != Method::BINDING => {
                request = request
                    .attribute(AttributeType::USERNAME, self.user.as_bytes())
                    .attribute(AttributeType::REALM, self.realm().as_bytes())
                    .attribute(AttributeType::NONCE, nonce);
                Some(self.key())
            }
            _ => None,
        };
        request.seal(key.as_ref().map(|key| (key, Algorithm::Sha1)));
        (id, out)
    }

    fn next_id(&self) -> TransactionId {
        let mut id = [7; 12];
        id[..4].copy_from_slice(&self.transactions.to_be_bytes());
        TransactionId(id)
    }

    /// XOR-PEER-ADDRESS for the next request.
    pub(crate) fn peer(&self, at: SocketAddr) -> Attribute {
        let mut message = Vec::new();
        Builder::new(Class::Request, Method::CREATE_PERMISSION, self.next_id(), &mut message)
            .xored(AttributeType::XOR_PEER_ADDRESS, at)
            .finish();
        (AttributeType::XOR_PEER_ADDRESS, message.split_off(24))
    }

    fn realm(&self) -> &str {
        self.realm.as_deref().unwrap_or(REALM)
    }

    fn key(&self) -> IntegrityKey {
        let algorithm = PasswordAlgorithm::Md5;
        IntegrityKey::long_term(&self.user, self.realm(), &self.password, algorithm)
    }

    /// An allocation; its relayed address.
    pub(crate) async fn allocate(&mut self) -> SocketAddr {
        let answer = self.try_allocate().await;
        assert_eq!(answer.code, 0);
        let message = answer.message();
        assert_eq!(message.xor_mapped_address(), Some(self.local));
        message.xor_relayed_address().unwrap()
    }

    /// A first request without credentials, and one with.
    pub(crate) async fn try_allocate(&mut self) -> Answer {
        let transport = [(AttributeType::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
        assert_eq!(self.ask(Method::ALLOCATE, &transport).await.code, 401);
        self.ask(Method::ALLOCATE, &transport).await
    }

    pub(crate) async fn permit(&mut self, peers: &[SocketAddr]) -> u16 {
        let peers: Vec<Attribute> = peers.iter().map(|at| self.peer(*at)).collect();
        self.ask(Method::CREATE_PERMISSION, &peers).await.code
    }

    pub(crate) async fn bind(&mut self, number: u16, at: SocketAddr) -> u16 {
        let [high, low] = number.to_be_bytes();
        let number = (AttributeType::CHANNEL_NUMBER, vec![high, low, 0, 0]);
        let attributes = [number, self.peer(at)];
        self.ask(Method::CHANNEL_BIND, &attributes).await.code
    }

    /// A Send indication.
    pub(crate) async fn indicate(&mut self, at: SocketAddr, data: &[u8]) {
        let mut out = Vec::new();
        let id = TransactionId([9; 12]);
        Builder::new(Class::Indication, Method::SEND, id, &mut out)
            .xored(AttributeType::XOR_PEER_ADDRESS, at)
            .attribute(AttributeType::DATA, data)
            .finish();
        self.send(&out).await;
    }

    /// ChannelData, padded on a stream.
    pub(crate) async fn send_on(&mut self, number: u16, data: &[u8]) {
        let mut message = number.to_be_bytes().to_vec();
        message.extend((data.len() as u16).to_be_bytes());
        message.extend_from_slice(data);
        if matches!(self.way, Way::Stream(_)) {
            message.resize(message.len().next_multiple_of(4), 0);
        }
        self.send(&message).await;
    }

    /// The next data from a peer: the channel or the peer that it is from.
    pub(crate) async fn data(&mut self) -> (Result<u16, SocketAddr>, Vec<u8>) {
        let bytes = self.receive().await.expect("the connection ended");
        if bytes[0] & 0xc0 == 0x40 {
            let len = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
            let number = u16::from_be_bytes([bytes[0], bytes[1]]);
            return (Ok(number), bytes[4..4 + len].to_vec());
        }
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        let from = message.xor_peer_addresses().next().unwrap();
        (Err(from), message.data().unwrap().to_vec())
    }
}

impl Way {
    async fn receive(&mut self) -> Option<Vec<u8>> {
        match self {
            Way::Udp(socket) => {
                let mut buffer = vec![0; 2_048];
                let len = socket.recv(&mut buffer).await.unwrap();
                buffer.truncate(len);
                Some(buffer)
            }
            Way::Stream(stream) => {
                let mut bytes = vec![0; 4];
                stream.read_exact(&mut bytes).await.ok()?;
                let len = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                let is_channel = bytes[0] & 0xc0 == 0x40;
                let rest = if is_channel { len.next_multiple_of(4) } else { len + 16 };
                bytes.resize(4 + rest, 0);
                stream.read_exact(&mut bytes[4..]).await.ok()?;
                Some(bytes)
            }
        }
    }
}
