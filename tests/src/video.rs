//! What a camera sees.

use std::{fs, path::Path};

use anyhow::Result;
use qrcode::{Color, EcLevel, QrCode};
use tempfile::TempDir;

const WIDTH: usize = 640;
const HEIGHT: usize = 480;
/// Blank modules around a code.
const QUIET: usize = 4;

/// A film of one picture, for browsers to take for what their camera sees.
pub struct Video {
    folder: TempDir,
}

impl Video {
    /// A QR code that fills the picture.
    pub fn of_code(text: &str) -> Result<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L)?;
        let whole = code.width() + 2 * QUIET;
        let module = HEIGHT / whole;
        let left = (WIDTH - whole * module) / 2;
        let dark = |x: usize, y: usize| {
            let x = (x.checked_sub(left)? / module).checked_sub(QUIET)?;
            let y = (y / module).checked_sub(QUIET)?;
            (x < code.width() && y < code.width()).then(|| code[(x, y)] == Color::Dark)
        };
        let places = (0..WIDTH * HEIGHT).map(|at| (at % WIDTH, at / WIDTH));
        let light = places.map(|(x, y)| if dark(x, y) == Some(true) { 16 } else { 235 });
        // YUV4MPEG2, each picture as all light and then both colours, of which there is none.
        let mut film =
            format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420jpeg\nFRAME\n").into_bytes();
        film.extend(light);
        film.extend(std::iter::repeat_n(128, WIDTH * HEIGHT / 2));
        let folder = tempfile::Builder::new().prefix("iap2p-video-").tempdir()?;
        fs::write(folder.path().join("film.y4m"), film)?;
        Ok(Self { folder })
    }

    pub(crate) fn file(&self) -> impl AsRef<Path> + use<> {
        self.folder.path().join("film.y4m")
    }
}
