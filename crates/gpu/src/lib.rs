//! Products of quantised weights and activations on a graphics processor, through WebGPU.
//!
//! Graphics processors may fuse and reorder additions, so their results differ from those of the CPU kernels in the
//! last bits: at most by [`TOLERANCE`] of the sum of the products' magnitudes. They are therefore never used where the
//! exact bits are asked for, and whoever passes them on says what they are.
//!
//! Weights are uploaded once ([`Gpu::upload`]) and stay; a product then costs one upload of activations and one
//! read-back. Whether that is quicker than the CPU depends on the device, hence the [`contest`], and whether the driver
//! is right is not taken for granted either: [`agree`].
//!
//! In the browser this uses `navigator.gpu`, also in a worker. Natively it needs the feature `native` (Vulkan).

mod agreement;
pub mod contest;
mod error;
mod format;
mod matrix;
mod memory;
mod product;
mod scope;

use wgpu::{
    Backends, ComputePipeline, Device, DeviceDescriptor, Instance, InstanceDescriptor, Limits,
    PowerPreference, Queue, RequestAdapterOptions,
};

pub use agreement::agree;
pub use error::Error;
pub use matrix::Matrix;

use format::Format;
use scope::Scope;

/// How far a result may be from the exact one, as a share of the sum of `|weight · activation|` over the row.
pub const TOLERANCE: f32 = 1e-5;

/// A graphics processor, ready to compute.
#[derive(Debug)]
pub struct Gpu {
    device: Device,
    queue: Queue,
    name: String,
    /// For each of [`Format::ALL`]: for one token, and for several.
    pipelines: [[ComputePipeline; 2]; 3],
}

impl Gpu {
    /// The device's preferred graphics processor, or `None` where there is none that computes.
    ///
    /// # Errors
    /// When there is one, and it refuses its service.
    pub async fn open() -> Result<Option<Self>, Error> {
        // Without any backend an instance must not even be asked for.
        if Instance::enabled_backend_features().is_empty() {
            return Ok(None);
        }
        let mut descriptor = InstanceDescriptor::new_without_display_handle();
        descriptor.backends = Backends::BROWSER_WEBGPU | Backends::VULKAN;
        let options = RequestAdapterOptions {
            power_preference: PowerPreference::HighPerformance,
            ..RequestAdapterOptions::default()
        };
        let Ok(adapter) = Instance::new(descriptor).request_adapter(&options).await else {
            return Ok(None);
        };
        let descriptor = DeviceDescriptor {
            required_limits: Limits::downlevel_defaults(),
            ..DeviceDescriptor::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| Error::Device(error.to_string()))?;
        let scope = Scope::open(&device);
        let pipelines = Format::ALL.map(|format| product::pipelines(&device, format));
        scope.close().await?;
        Ok(Some(Self {
            device,
            queue,
            name: adapter.get_info().name,
            pipelines,
        }))
    }

    /// What the graphics processor calls itself; browsers may keep it to themselves.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
