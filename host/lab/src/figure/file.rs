//! A figure as files.

use super::Figure;
use crate::failure::Failure;
use crate::output::OutputFolder;

impl Figure {
    /// Writes it as `name.png` and `name.svg`; what a run that ended early has of it is marked as
    /// partial.
    ///
    /// # Errors
    /// When it cannot be drawn or a file not written.
    pub fn write(&self, folder: &OutputFolder, partial: bool, name: &str) -> Result<(), Failure> {
        let rendered = self.render().map_err(|e| Failure::run(e.to_string()))?;
        folder.write_as(partial, &format!("{name}.png"), |w| w.write_all(&rendered.png))?;
        folder.write_as(partial, &format!("{name}.svg"), |w| w.write_all(rendered.svg.as_bytes()))
    }
}
