//! One product: activations up, one dispatch, results down.

use futures_channel::oneshot;
use kernels::Activations;
use wgpu::{
    BindGroupDescriptor, BindGroupEntry, BufferDescriptor, BufferUsages, CommandEncoderDescriptor,
    ComputePassDescriptor, ComputePipeline, ComputePipelineDescriptor, Device, MapMode, PollType,
    ShaderModuleDescriptor, ShaderSource,
};

use crate::{Error, Gpu, Matrix, format::Format, memory::Memory, scope::Scope};

/// From so many tokens on, decoding a weight once for several of them is worth more than a workgroup for each row.
const SEVERAL: usize = 3;
/// As in `vector.wgsl`: workgroups side by side before the next line of them begins.
const LINE: u32 = 32768;
/// As in `matrix.wgsl`.
const ROWS: u32 = 64;
const TOKENS: u32 = 8;

/// For one token and for several.
pub(crate) fn pipelines(device: &Device, format: Format) -> [ComputePipeline; 2] {
    [
        include_str!("shaders/vector.wgsl"),
        include_str!("shaders/matrix.wgsl"),
    ]
    .map(|main| {
        let source = [include_str!("shaders/common.wgsl"), format.shader(), main].concat();
        let module = device.create_shader_module(ShaderModuleDescriptor {
            label: Some(format.tensor_type().name()),
            source: ShaderSource::Wgsl(source.into()),
        });
        device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some(format.tensor_type().name()),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        })
    })
}

impl Gpu {
    /// `y[token, row] = Σ weights[row, column] · x[token, column]`, one row of results for each token.
    ///
    /// # Errors
    /// When the activations are not as wide as the weights, the sizes are too large, or the device is gone.
    pub async fn multiply(&self, matrix: &Matrix, x: &Activations) -> Result<Vec<f32>, Error> {
        if x.width() != matrix.columns() {
            return Err(Error::Length {
                what: "values of a row of activations",
                expected: matrix.columns(),
                found: x.width(),
            });
        }
        let limits = self.device.limits();
        let tokens = u32::try_from(x.tokens()).map_err(|_| Error::TooLarge("the tokens"))?;
        let size = u64::from(tokens) * u64::from(matrix.rows) * 4;
        let largest = limits.max_storage_buffer_binding_size;
        let dispatch = limits.max_compute_workgroups_per_dimension;
        if size > largest || (x.tokens() * x.width() * 4) as u64 > largest || tokens > dispatch {
            return Err(Error::TooLarge("the tokens"));
        }
        if size == 0 {
            return Ok(Vec::new());
        }
        let several = x.tokens() >= SEVERAL;
        let workgroups = if several {
            [matrix.rows.div_ceil(ROWS), tokens.div_ceil(TOKENS), 1]
        } else {
            let line = matrix.rows.min(LINE);
            [line, matrix.rows.div_ceil(line), tokens]
        };
        if workgroups.iter().any(|&count| count > dispatch) {
            return Err(Error::TooLarge("the rows"));
        }
        let sizes = [matrix.rows, matrix.groups, tokens, matrix.stride];
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let values: Vec<u8> = x
            .decode()
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let scope = Scope::open(&self.device);
        let sizes = self.filled("sizes", BufferUsages::UNIFORM, &sizes);
        let input = self.filled("activations", BufferUsages::STORAGE, &values);
        let output = self.empty(
            "results",
            BufferUsages::STORAGE | BufferUsages::COPY_SRC,
            size,
        );
        let result = self.empty(
            "read-back",
            BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            size,
        );

        let pipeline = &self.pipelines[matrix.format as usize][usize::from(several)];
        let buffers = [&sizes, &matrix.buffer, &input, &output].map(|memory| &memory.0);
        let mut binding = 0..;
        let entries = buffers.map(|buffer| BindGroupEntry {
            binding: binding.next().unwrap_or_default(),
            resource: buffer.as_entire_binding(),
        });
        let bindings = self.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut commands = self
            .device
            .create_command_encoder(&CommandEncoderDescriptor::default());
        {
            let mut pass = commands.begin_compute_pass(&ComputePassDescriptor::default());
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, &bindings, &[]);
            let [x, y, z] = workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
        commands.copy_buffer_to_buffer(&output, 0, &result, 0, size);
        self.queue.submit([commands.finish()]);
        self.read(&result, scope).await
    }

    async fn read(&self, buffer: &Memory, scope: Scope) -> Result<Vec<f32>, Error> {
        let (sender, mapped) = oneshot::channel();
        buffer.map_async(MapMode::Read, .., |result| {
            // Nobody waits any more when the work was given up.
            let _ = sender.send(result);
        });
        // In the browser its own event loop does this, and the call does nothing.
        self.device
            .poll(PollType::wait_indefinitely())
            .map_err(|error| Error::Lost(error.to_string()))?;
        // Whatever failed explains why there is nothing to read.
        scope.close().await?;
        let gone = || Error::Lost("no answer".into());
        let result = mapped.await.map_err(|_| gone())?;
        result.map_err(|error| Error::Lost(error.to_string()))?;
        let bytes = buffer.get_mapped_range(..);
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
    }

    fn filled(&self, label: &str, usage: BufferUsages, bytes: &[u8]) -> Memory {
        let buffer = self.empty(label, usage | BufferUsages::COPY_DST, bytes.len() as u64);
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    fn empty(&self, label: &str, usage: BufferUsages, size: u64) -> Memory {
        Memory(self.device.create_buffer(&BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        }))
    }
}
