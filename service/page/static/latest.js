// Runs one task at a time; of those that come meanwhile only the latest is run, and always.
export class Latest {
  #next = null;
  #running = false;
  #controller = null;

  constructor(pause = 0) {
    this.pause = pause; // milliseconds between two tasks
  }

  // `task` gets an AbortSignal, which fires at `cancel`.
  submit(task) {
    this.#next = task;
    if (!this.#running) this.#run();
  }

  cancel() {
    this.#next = null;
    this.#controller?.abort();
  }

  async #run() {
    this.#running = true;
    while (this.#next) {
      const task = this.#next;
      this.#next = null;
      this.#controller = new AbortController();
      try {
        await task(this.#controller.signal);
      } catch (error) {
        if (error.name !== "AbortError") reportError(error); // and the next task is run all the same
      }
      if (this.#next) await new Promise((resolve) => setTimeout(resolve, this.pause));
    }
    this.#running = false;
  }
}
