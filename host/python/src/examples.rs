//! Arrays of examples, borrowed.

use myopia::data::labelled::{Inputs, Labelled, Own};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Inputs in one of the types that are taken, contiguous.
enum Rows<'py> {
    Bytes(PyReadonlyArray2<'py, u8>),
    F32(PyReadonlyArray2<'py, f32>),
    F64(PyReadonlyArray2<'py, f64>),
}

/// Inputs and labels.
pub struct Set<'py> {
    rows: Rows<'py>,
    labels: PyReadonlyArray1<'py, i64>,
}

impl<'py> Set<'py> {
    pub fn new(x: &Bound<'py, PyAny>, labels: PyReadonlyArray1<'py, i64>) -> PyResult<Self> {
        let rows = if let Ok(rows) = x.extract() {
            Rows::Bytes(rows)
        } else if let Ok(rows) = x.extract() {
            Rows::F32(rows)
        } else if let Ok(rows) = x.extract() {
            Rows::F64(rows)
        } else {
            return Err(PyTypeError::new_err("give x as uint8, float32 or float64 [n, inputs]"));
        };
        Ok(Self { rows, labels })
    }

    fn labelled(&self, names: [&str; 2]) -> PyResult<Labelled<'_>> {
        let (shape, inputs) = match &self.rows {
            Rows::Bytes(rows) => (rows.shape(), Inputs::Bytes(rows.as_slice()?.into())),
            Rows::F32(rows) => (rows.shape(), Inputs::F32(rows.as_slice()?.into())),
            Rows::F64(rows) => (rows.shape(), Inputs::F64(rows.as_slice()?.into())),
        };
        let width = shape.get(1).copied().unwrap_or(0);
        let labels = self.labels.as_slice()?.to_vec();
        Ok(Labelled { names: names.map(str::to_owned), width, inputs, labels })
    }
}

/// The examples to train on and to test on, not yet checked.
pub fn own<'a>(training: &'a Set<'_>, test: Option<&'a Set<'_>>) -> PyResult<Own<'a>> {
    let training = training.labelled(["x", "y"])?;
    let test = test.map(|test| test.labelled(["x_test", "y_test"])).transpose()?;
    Ok(Own { training, test, held_out: None })
}
