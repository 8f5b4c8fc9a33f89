#![no_main]
//! A signature section that stands in a good image.
use caution_eif::{Image, Limits};
use std::sync::LazyLock;

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let file = caution_fuzz::image(None);
    caution_eif::read(file.as_slice(), &Limits::default()).expect("is an image")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Image { signature_unverified: Some(data.to_vec()), ..IMAGE.clone() }.signature();
});
