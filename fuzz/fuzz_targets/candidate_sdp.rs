//! The libFuzzer entry of [`floe_fuzz::candidate_sdp`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| floe_fuzz::candidate_sdp::run(data));
