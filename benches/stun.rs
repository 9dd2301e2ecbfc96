//! What a connectivity check costs: reading, verifying, writing.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use floe::stun::{
    CheckParameters, CheckTemplate, IntegrityKey, Message, TransactionId, is_stun_with_fingerprint,
    looks_like_stun, write_success,
};

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn read(c: &mut Criterion) {
    let key = IntegrityKey::short_term(PASSWORD);
    let request = check(&key);
    let message = Message::parse(&request).expect("our own check");
    c.bench_function("parse", |b| b.iter(|| Message::parse(black_box(&request))));
    c.bench_function("verify integrity", |b| b.iter(|| black_box(&message).verify(&key)));
    c.bench_function("verify FINGERPRINT", |b| b.iter(|| black_box(&message).fingerprint()));
    c.bench_function("looks like STUN", |b| b.iter(|| looks_like_stun(black_box(&request))));
    c.bench_function("is STUN with FINGERPRINT", |b| {
        b.iter(|| is_stun_with_fingerprint(black_box(&request)));
    });
}

fn write(c: &mut Criterion) {
    let key = IntegrityKey::short_term(PASSWORD);
    let template = template(&key);
    let id = TransactionId([7; 12]);
    let mut out = Vec::with_capacity(256);
    c.bench_function("check from its template", |b| {
        b.iter(|| template.write(black_box(id), true, None, &key, &mut out));
    });
    let mapped = "192.0.2.1:32853".parse().expect("an address");
    c.bench_function("success response", |b| {
        b.iter(|| write_success(black_box(id), mapped, &key, &mut out));
    });
    c.bench_function("derive a key", |b| b.iter(|| IntegrityKey::short_term(black_box(PASSWORD))));
}

fn template(key: &IntegrityKey) -> CheckTemplate {
    CheckTemplate::new(&CheckParameters {
        username: "evtj:h6vY",
        key,
        controlling: true,
        tie_breaker: 0x932f_f9b1_5126_3b36,
        priority: 0x6e00_01ff,
    })
}

fn check(key: &IntegrityKey) -> Vec<u8> {
    let mut out = Vec::new();
    template(key).write(TransactionId([7; 12]), true, None, key, &mut out);
    out
}

criterion_group!(benches, read, write);
criterion_main!(benches);
