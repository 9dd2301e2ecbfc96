//! The libFuzzer entry of [`floe_fuzz::stun_message`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floe_fuzz::stun_message::run(data));
