//! What a socket does with the segments that reach it, after Linux's
//! tcp_input.c.

use std::io::ErrorKind;
use std::time::Duration;

use floe::timer::Time;

use super::segment::{Kind, Segment, after, before, is_in_window};
use super::socket::{FIN_TIMEOUT, Outcome, Socket, State, Told};
use super::stream::WINDOW;

/// Challenge ACKs and answers to segments outside the window are this far apart.
pub const CHALLENGE_SPACING: Duration = Duration::from_millis(500);

impl Socket {
    pub fn receive(&mut self, now: Time, segment: &Segment, out: &mut Outcome) {
        match self.state {
            State::SynSent => self.receive_in_syn_sent(now, segment, out),
            State::Closed => out.segments.extend(segment.refusal()),
            _ => self.receive_synchronized(now, segment, out),
        }
    }

    fn receive_in_syn_sent(&mut self, now: Time, segment: &Segment, out: &mut Outcome) {
        match segment.ack {
            // It is about a connection of the past.
            Some(ack) if ack != self.snd_nxt => out.segments.extend(segment.refusal()),
            Some(_) if segment.rst => self.end(Told::Failed(ErrorKind::ConnectionRefused), out),
            Some(ack) if segment.syn => {
                (self.irs, self.rcv_nxt) = (segment.seq, segment.seq.wrapping_add(1));
                self.snd_una = ack;
                self.state = State::Established;
                self.settle(now - self.syn_sent);
                out.told.push(Told::Connected);
                self.acknowledge(out);
            }
            None if segment.syn && !segment.rst => {
                (self.irs, self.rcv_nxt) = (segment.seq, segment.seq.wrapping_add(1));
                self.state = State::SynRecv;
                self.crossed = true;
                // The timer of the SYN goes on, for the SYN-ACK.
                out.segments.push(Segment::syn_ack(self.iss, self.rcv_nxt));
            }
            _ => {}
        }
    }

    fn receive_synchronized(&mut self, now: Time, segment: &Segment, out: &mut Outcome) {
        if !is_in_window(segment, self.rcv_nxt, WINDOW) {
            let carries = !segment.data.is_empty() || segment.fin;
            if !segment.rst && (carries && !segment.syn || self.may_answer(now)) {
                self.acknowledge(out);
            }
            return;
        }
        if segment.rst {
            if segment.seq == self.rcv_nxt {
                self.reset(out);
            } else {
                self.challenge(now, out);
            }
            return;
        }
        if segment.syn && !self.is_crossing_syn_ack(segment) {
            return self.challenge(now, out);
        }
        let Some(ack) = segment.ack else { return };
        if self.take_acknowledgement(now, ack, segment, out) {
            self.take_data(segment, out);
        }
    }

    /// The other half of a simultaneous open.
    fn is_crossing_syn_ack(&self, segment: &Segment) -> bool {
        self.state == State::SynRecv
            && segment.kind() == Kind::SynAck
            && segment.end() == self.rcv_nxt
            && segment.ack == Some(self.snd_nxt)
    }

    /// Whether the rest of the segment counts.
    fn take_acknowledgement(
        &mut self,
        now: Time,
        ack: u32,
        segment: &Segment,
        out: &mut Outcome,
    ) -> bool {
        if self.state == State::SynRecv {
            if ack != self.snd_nxt {
                out.segments.extend(segment.refusal());
                return false;
            }
            self.state = State::Established;
            self.snd_una = ack;
            self.settle(now - self.syn_sent);
            out.told.push(Told::Connected);
            return true;
        }
        if after(ack, self.snd_nxt) {
            return false;
        }
        if before(ack, self.snd_una.wrapping_sub(WINDOW)) {
            self.challenge(now, out);
            return false;
        }
        if after(ack, self.snd_una) {
            self.advance(now, ack, out);
        } else if ack == self.snd_una && segment.len() == 0 && !self.outgoing.is_empty() {
            self.duplicates += 1;
            if self.duplicates == 3 && self.recovers.is_none() {
                self.recovers = Some(self.snd_nxt);
                out.segments.extend(self.outgoing.first(self.rcv_nxt));
            }
        }
        self.state != State::Closed
    }

    /// New data is acknowledged.
    fn advance(&mut self, now: Time, ack: u32, out: &mut Outcome) {
        self.snd_una = ack;
        self.outgoing.acknowledge(ack);
        (self.retransmits, self.duplicates, self.rto) = (0, 0, self.base_rto);
        self.timer = (!self.outgoing.is_empty()).then(|| now + self.rto);
        if let Some(end) = self.recovers {
            if before(ack, end) {
                out.segments.extend(self.outgoing.first(self.rcv_nxt));
            } else {
                self.recovers = None;
            }
        }
        if self.short && self.outgoing.room() > 0 {
            self.short = false;
            out.told.push(Told::Writable);
        }
        if self.outgoing.has_fin() && self.outgoing.is_empty() {
            match self.state {
                State::FinWait1 => {
                    self.state = State::FinWait2;
                    self.timer = Some(now + FIN_TIMEOUT);
                }
                State::Closing | State::LastAck => self.state = State::Closed,
                _ => {}
            }
        }
    }

    fn take_data(&mut self, segment: &Segment, out: &mut Outcome) {
        if segment.len() == 0 {
            return;
        }
        let is_new = !segment.data.is_empty()
            && after(segment.seq.wrapping_add(segment.data.len() as u32), self.rcv_nxt);
        if self.orphan && is_new {
            // Nobody reads it any more.
            out.segments.extend(segment.refusal());
            self.state = State::Closed;
            return;
        }
        if matches!(self.state, State::Established | State::FinWait1 | State::FinWait2) {
            let (bytes, fin) = self.incoming.take(segment, self.irs, &mut self.rcv_nxt);
            if !bytes.is_empty() {
                out.told.push(Told::Received(bytes));
            }
            if fin {
                out.told.push(Told::Ended);
                self.state = match self.state {
                    State::Established => State::CloseWait,
                    State::FinWait1 => State::Closing,
                    _ => State::Closed,
                };
            }
        }
        self.acknowledge(out);
    }

    fn acknowledge(&self, out: &mut Outcome) {
        out.segments.push(Segment::ack(self.snd_nxt, self.rcv_nxt));
    }

    fn challenge(&mut self, now: Time, out: &mut Outcome) {
        if self.may_answer(now) {
            self.acknowledge(out);
        }
    }

    fn may_answer(&mut self, now: Time) -> bool {
        let may = self.answered.is_none_or(|last| now - last >= CHALLENGE_SPACING);
        if may {
            self.answered = Some(now);
        }
        may
    }

    fn reset(&mut self, out: &mut Outcome) {
        let told = match self.state {
            State::SynRecv => Told::Failed(ErrorKind::ConnectionReset),
            State::CloseWait => Told::Reset(ErrorKind::BrokenPipe),
            _ => Told::Reset(ErrorKind::ConnectionReset),
        };
        self.end(told, out);
    }
}
