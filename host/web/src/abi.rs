//! The module's exports and imports. A call: `take(n)` gives room for the request's n bytes,
//! `call()` answers it and says whether that went well (0) or not (1), and the answer, or the
//! sentence, is `answer_length()` bytes at `answer_start()` until the next call.

use std::cell::RefCell;

use crate::{Listener, answer};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    #[link_name = "progress"]
    safe fn js_progress(done: f64, of: f64);
    #[link_name = "part"]
    fn js_part(start: *const u8, length: usize);
}

thread_local! {
    static REQUEST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ANSWER: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Page;

impl Listener for Page {
    fn progress(&self, done: f64, of: f64) {
        js_progress(done, of);
    }

    fn part(&self, json: &str) {
        // SAFETY: the bytes are readable for the time of the call.
        unsafe { js_part(json.as_ptr(), json.len()) };
    }
}

#[unsafe(no_mangle)]
extern "C" fn take(length: usize) -> *mut u8 {
    REQUEST.with_borrow_mut(|request| {
        request.clear();
        request.resize(length, 0);
        request.as_mut_ptr()
    })
}

#[unsafe(no_mangle)]
extern "C" fn call() -> i32 {
    let request = REQUEST.take();
    let found = match str::from_utf8(&request) {
        Ok(request) => answer(request, &Page),
        Err(e) => Err(format!("the request: {e}")),
    };
    let failed = found.is_err().into();
    ANSWER.replace(found.unwrap_or_else(|sentence| sentence));
    failed
}

#[unsafe(no_mangle)]
extern "C" fn answer_start() -> *const u8 {
    ANSWER.with_borrow(|answer| answer.as_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn answer_length() -> usize {
    ANSWER.with_borrow(String::len)
}
