//! Pictures from the device's camera.

use js_sys::{Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    CanvasRenderingContext2d, HtmlCanvasElement, HtmlVideoElement, MediaDevices, MediaStream,
    MediaStreamConstraints, MediaStreamTrack,
};

use super::{document, window};

/// Pictures are looked at in this width at most; a code fills a good part of them.
const WIDTH: u32 = 640;

/// Whether there may be a camera.
pub(crate) fn is_possible() -> bool {
    devices().is_some()
}

fn devices() -> Option<MediaDevices> {
    // Absent on pages that are neither HTTPS nor local.
    Reflect::get(&window().navigator(), &"mediaDevices".into())
        .ok()?
        .dyn_into()
        .ok()
}

/// A running camera. It is switched off when this is dropped.
pub(crate) struct Camera {
    stream: MediaStream,
    video: HtmlVideoElement,
    canvas: HtmlCanvasElement,
}

impl Camera {
    /// Asks for the camera on the back of the device, and shows what it sees. An error is the browser's own: the user
    /// has not allowed it, or there is none.
    pub(crate) async fn start(video: HtmlVideoElement) -> Result<Self, JsValue> {
        let devices = devices().ok_or("no camera")?;
        let facing = Object::new();
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&facing, &"facingMode".into(), &"environment".into());
        let wanted = MediaStreamConstraints::new();
        wanted.set_video(&facing);
        let stream = devices.get_user_media_with_constraints(&wanted)?;
        let stream: MediaStream = JsFuture::from(stream).await?.dyn_into()?;
        let canvas: HtmlCanvasElement = document().create_element("canvas")?.dyn_into()?;
        video.set_src_object(Some(&stream));
        let camera = Self {
            stream,
            video,
            canvas,
        };
        JsFuture::from(camera.video.play()?).await?;
        Ok(camera)
    }

    /// What it sees now, in shades of grey; nothing before it sees something.
    pub(crate) fn look(&self) -> Option<Picture> {
        let (width, height) = (self.video.video_width(), self.video.video_height());
        if width == 0 || height == 0 {
            return None;
        }
        let (wide, high) = match width > WIDTH {
            true => (WIDTH, height * WIDTH / width),
            false => (width, height),
        };
        self.canvas.set_width(wide);
        self.canvas.set_height(high);
        let context: CanvasRenderingContext2d =
            self.canvas.get_context("2d").ok()??.dyn_into().ok()?;
        let (w, h) = (f64::from(wide), f64::from(high));
        context
            .draw_image_with_html_video_element_and_dw_and_dh(&self.video, 0.0, 0.0, w, h)
            .ok()?;
        let pixels = context.get_image_data(0.0, 0.0, w, h).ok()?.data();
        let (pixels, _) = pixels.as_chunks::<4>();
        let grey = |[r, g, b, _]: &[u8; 4]| {
            ((u32::from(*r) * 2 + u32::from(*g) * 5 + u32::from(*b)) / 8) as u8
        };
        Some(Picture {
            width: wide as usize,
            height: high as usize,
            grey: pixels.iter().map(grey).collect(),
        })
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.video.set_src_object(None);
        for track in self.stream.get_tracks() {
            if let Ok(track) = track.dyn_into::<MediaStreamTrack>() {
                track.stop();
            }
        }
    }
}

/// A picture, line by line.
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) grey: Vec<u8>,
}

impl Picture {
    /// The text of a QR code in it.
    pub(crate) fn code(&self) -> Option<String> {
        let light = |x: usize, y: usize| self.grey.get(y * self.width + x).copied().unwrap_or(255);
        let mut picture =
            rqrr::PreparedImage::prepare_from_greyscale(self.width, self.height, light);
        let codes = picture.detect_grids();
        codes
            .iter()
            .find_map(|code| code.decode().ok())
            .map(|(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qrcode::{Color, QrCode};

    #[test]
    fn a_code_that_is_shown_is_read() {
        const MODULE: usize = 4;
        const QUIET: usize = 4;
        let link = "https://swarm.example/#model=bafk&bootstrap=/dns/swarm.example/tcp/443/tls/ws";
        let code =
            QrCode::with_error_correction_level(link, qrcode::EcLevel::L).expect("short enough");
        let side = (code.width() + 2 * QUIET) * MODULE;
        let dark = |x: usize, y: usize| {
            let (x, y) = (
                (x / MODULE).checked_sub(QUIET)?,
                (y / MODULE).checked_sub(QUIET)?,
            );
            (x < code.width() && y < code.width()).then(|| code[(x, y)] == Color::Dark)
        };
        let places = (0..side * side).map(|at| (at % side, at / side));
        let shade = |(x, y)| if dark(x, y) == Some(true) { 20 } else { 235 };
        let picture = Picture {
            width: side,
            height: side,
            grey: places.map(shade).collect(),
        };
        assert_eq!(picture.code().as_deref(), Some(link));
        let nothing = Picture {
            grey: vec![128; side * side],
            ..picture
        };
        assert_eq!(nothing.code(), None);
    }
}
