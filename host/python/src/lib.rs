//! The extension module `myopia._myopia`: hands arrays to the program's computations, waits for
//! them without the interpreter's lock, and hands back what they found. It computes nothing.

mod examples;
mod waiting;

use std::ffi::OsString;
use std::sync::Mutex;

use myopia::nqm::run::Run;
use myopia::precision::Numbers;
use myopia_program::bindings::{self, Hypergradient, Schedule, Spectrum, Trained};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use examples::Set;
use waiting::computed;

type Column<'py> = PyReadonlyArray1<'py, f64>;

/// Carries out the program's command with these arguments; its exit status.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| myopia_program::main(arguments))
}

/// `myopia hypergrad` on arrays.
#[pyfunction]
fn hypergrad<'py>(
    py: Python<'py>,
    words: Vec<String>,
    x: &Bound<'py, PyAny>,
    y: PyReadonlyArray1<'py, i64>,
) -> PyResult<Bound<'py, PyDict>> {
    let training = Set::new(x, y)?;
    let own = examples::own(&training, None)?;
    let Hypergradient { loss, accuracy, names, gradient, digest, digest_tangents } =
        computed(py, || bindings::hypergrad(&words, &own))?;
    let found = PyDict::new(py);
    found.set_item("loss", loss)?;
    found.set_item("gradient", PyArray1::from_vec(py, gradient))?;
    found.set_item("names", names)?;
    found.set_item("accuracy", accuracy)?;
    found.set_item("digest", digest)?;
    found.set_item("digest_tangents", digest_tangents)?;
    Ok(found)
}

/// What another program needs in order to recompute a hypergradient.
#[pyfunction]
fn export<'py>(
    py: Python<'py>,
    words: Vec<String>,
    x: &Bound<'py, PyAny>,
    y: PyReadonlyArray1<'py, i64>,
) -> PyResult<Bound<'py, PyDict>> {
    let training = Set::new(x, y)?;
    let own = examples::own(&training, None)?;
    let exported = computed(py, || bindings::export(&words, &own))?;
    let found = PyDict::new(py);
    match exported.start {
        Numbers::F32(start) => found.set_item("start", PyArray1::from_vec(py, start))?,
        Numbers::F64(start) => found.set_item("start", PyArray1::from_vec(py, start))?,
    }
    found.set_item("layers", exported.layers)?;
    found.set_item("batch", exported.batch)?;
    found.set_item("batches", PyArray1::from_vec(py, exported.batches))?;
    found.set_item("objective", PyArray1::from_vec(py, exported.objective))?;
    Ok(found)
}

/// `myopia train` on arrays.
#[pyfunction]
fn train<'py>(
    py: Python<'py>,
    words: Vec<String>,
    x: &Bound<'py, PyAny>,
    y: PyReadonlyArray1<'py, i64>,
    test: Option<(Bound<'py, PyAny>, PyReadonlyArray1<'py, i64>)>,
) -> PyResult<Bound<'py, PyDict>> {
    let training = Set::new(x, y)?;
    let test = test.map(|(x, y)| Set::new(&x, y)).transpose()?;
    let own = examples::own(&training, test.as_ref())?;
    let Trained { learning_rate, loss, judged, test, digest } =
        computed(py, || bindings::train(&words, &own))?;
    let found = PyDict::new(py);
    found.set_item("learning_rate", PyArray1::from_vec(py, learning_rate))?;
    found.set_item("loss", PyArray1::from_vec(py, loss))?;
    found.set_item("judged", (judged[0], judged[1]))?;
    found.set_item("test", test.map(|[loss, accuracy]| (loss, accuracy)))?;
    found.set_item("digest", digest)?;
    Ok(found)
}

/// A meta-descent that is taken one meta-step at a time.
#[pyclass]
struct Descent(Mutex<bindings::Descent>);

#[pymethods]
impl Descent {
    #[new]
    fn new<'py>(
        py: Python<'py>,
        words: Vec<String>,
        x: &Bound<'py, PyAny>,
        y: PyReadonlyArray1<'py, i64>,
    ) -> PyResult<Self> {
        let training = Set::new(x, y)?;
        let own = examples::own(&training, None)?;
        let descent = computed(py, || bindings::Descent::new(&words, &own))?;
        Ok(Self(Mutex::new(descent)))
    }

    /// The next record by the names of its columns.
    fn next_record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let next = computed(py, || {
            let mut descent = waiting::locked(&self.0)?;
            Ok(descent.next_record()?.map(|record| (descent.columns(), record)))
        })?;
        let Some((columns, (meta_step, numbers))) = next else {
            return Err(PyStopIteration::new_err(()));
        };
        let found = PyDict::new(py);
        let mut columns = columns.into_iter();
        found.set_item(columns.next(), meta_step)?;
        columns.zip(numbers).try_for_each(|(name, number)| found.set_item(name, number))?;
        Ok(found)
    }
}

/// `myopia nqm` on the columns of a spectrum, with a schedule that is named or given.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one for each of the module's keywords")]
fn nqm<'py>(
    py: Python<'py>,
    curvature: Column<'py>,
    noise_variance: Column<'py>,
    initial_mean: Option<Column<'py>>,
    initial_variance: Option<Column<'py>>,
    schedule: Option<&str>,
    given: Option<(Column<'py>, Column<'py>)>,
    steps: Option<usize>,
    momentum: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let optional = |column: &Option<Column<'py>>| match column {
        Some(column) => Ok::<_, PyErr>(Some(column.as_slice()?.to_vec())),
        None => Ok(None),
    };
    let (mean, variance) = (optional(&initial_mean)?, optional(&initial_variance)?);
    let spectrum = Spectrum {
        curvature: curvature.as_slice()?,
        noise_variance: noise_variance.as_slice()?,
        initial_mean: mean.as_deref(),
        initial_variance: variance.as_deref(),
    };
    let schedule = match (&schedule, &given) {
        (Some(name), _) => Schedule::Named(name),
        (None, Some((rates, momenta))) => Schedule::Given(rates.as_slice()?, momenta.as_slice()?),
        (None, None) => Schedule::Given(&[], &[]),
    };
    let run = computed(py, || bindings::nqm(&spectrum, schedule, steps, momentum))?;
    run_found(py, run)
}

fn run_found(py: Python<'_>, run: Run) -> PyResult<Bound<'_, PyDict>> {
    let found = PyDict::new(py);
    for (name, column) in [
        ("learning_rate", run.learning_rates),
        ("momentum", run.momenta),
        ("losses", run.losses),
        ("cooled_losses", run.cooled_losses),
        ("noiseless_losses", run.noiseless_losses),
    ] {
        found.set_item(name, PyArray1::from_vec(py, column))?;
    }
    found.set_item("excess_loss", run.excess_loss)?;
    found.set_item("loss", run.loss)?;
    found.set_item("gradient_norm", run.gradient_norm)?;
    found.set_item("iterations", run.iterations)?;
    found.set_item("stationary", run.stationary)?;
    Ok(found)
}

#[pymodule]
fn _myopia(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Descent>()?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(hypergrad, module)?)?;
    module.add_function(wrap_pyfunction!(export, module)?)?;
    module.add_function(wrap_pyfunction!(train, module)?)?;
    module.add_function(wrap_pyfunction!(nqm, module)?)
}
