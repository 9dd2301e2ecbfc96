//! The libFuzzer entry of [`floe_fuzz::tcp_frames`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floe_fuzz::tcp_frames::run(data));
