use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

use tokio::runtime::Runtime;

use super::super::socket::Socket;
use super::super::transport::BindOptions;
use super::*;
use crate::driver::carrier::Leg;

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A runtime that is not driven: no socket ever becomes known as writable.
fn idle_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn path() -> SendPath {
    let socket = Socket::bind(Ipv4Addr::LOCALHOST.into(), 0, &BindOptions::default()).unwrap();
    let traffic = Arc::default();
    let to = socket.local();
    SendPath {
        to,
        carrier: Carrier::Direct(Leg::Udp(Arc::new(socket))),
        max_payload: 1_200,
        traffic,
    }
}

#[test]
fn who_waits_for_a_socket_is_woken_by_the_change_of_path() {
    let runtime = idle_runtime();
    let _inside = runtime.enter();
    let component = Component::new(1 << 10);
    component.set_path(Some(path()));
    let wakers: [Arc<Woken>; 2] = Default::default();
    let tasks = wakers.each_ref().map(|woken| Waker::from(woken.clone()));
    let [mut first, mut second] = [(); 2].map(|()| Box::pin(component.writable()));
    for (future, task) in [(&mut first, &tasks[0]), (&mut second, &tasks[1])] {
        assert!(future.as_mut().poll(&mut Context::from_waker(task)).is_pending());
    }
    // Another path, whose socket is not writable either: both wait for it …
    component.set_path(Some(path()));
    assert_eq!(wakers.each_ref().map(|woken| woken.times()), [1, 1]);
    for (future, task) in [(&mut first, &tasks[0]), (&mut second, &tasks[1])] {
        assert!(future.as_mut().poll(&mut Context::from_waker(task)).is_pending());
    }
    // … and none at all.
    component.set_path(None);
    assert_eq!(wakers.each_ref().map(|woken| woken.times()), [2, 2]);
    for (future, task) in [(&mut first, &tasks[0]), (&mut second, &tasks[1])] {
        let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(task)) else {
            panic!("there is nothing to wait for");
        };
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}

#[test]
fn a_path_that_is_lost_before_the_first_poll_is_noticed() {
    let runtime = idle_runtime();
    let _inside = runtime.enter();
    let component = Component::new(1 << 10);
    component.set_path(Some(path()));
    let mut future = pin!(component.writable());
    component.close();
    let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("there is nothing to wait for");
    };
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_socket_that_is_writable_is_not_waited_for_twice() {
    let component = Component::new(1 << 10);
    component.set_path(Some(path()));
    for _ in 0..3 {
        component.writable().await.unwrap();
    }
}
