//! Registers of an image through the AWS crate's own reader, as `nitro-cli describe-eif` computes them: the peer of
//! `caution apps describe` in `make bench`.

use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;

fn main() -> Result<(), String> {
    let file = std::env::args().nth(1).ok_or("an image file is needed")?;
    let mut reader = EifReader::from_eif(file)?;
    if !reader.check_crc() {
        return Err("the checksum is wrong".to_owned());
    }
    for (register, value) in reader.get_measurements()? {
        println!("{value} {register}");
    }
    Ok(())
}
