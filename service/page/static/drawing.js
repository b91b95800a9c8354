// A sheet of white paper to draw on with a mouse, a pen, a finger or the keyboard; or a picture that lies on it.

const STEP = 8; // canvas pixels that an arrow key moves the pen by

export class Drawing {
  #canvas;
  #changed;
  #said;
  #strokes = [];
  #picture = null; // { file, image }
  #history = []; // what was there before each change
  #pen = null; // where the keyboard's pen is
  #pointer = null; // the one that draws; others, as of a palm, do not

  // `changed` is called after each change, `said` with words about the keyboard's pen.
  constructor(canvas, changed, said) {
    this.#canvas = canvas;
    this.#changed = changed;
    this.#said = said;
    this.width = 28;
    this.isDown = false;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#go(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#end(event));
    canvas.addEventListener("keydown", (event) => this.#press(event));
    canvas.addEventListener("blur", () => { if (this.#pen) { this.#pen = null; this.isDown = false; this.#update(); } });
    this.#paint();
  }

  get isEmpty() { return !this.#strokes.length && !this.#picture; }

  get file() { return this.#picture?.file ?? null; }

  // Whether this browser cannot show the picture; the service may read it.
  get isHidden() { return Boolean(this.#picture?.failed); }

  // What is sent: the file itself, or the drawing as a PNG file.
  async blob() {
    if (this.#picture) return this.#picture.file;
    return new Promise((resolve) => {
      this.#paint({ cursor: false });
      this.#canvas.toBlob(resolve, "image/png");
      this.#paint();
    });
  }

  // Where the picture lies on the canvas, to which its own pixels are scaled.
  placeOf(width, height) {
    const side = this.#canvas.width;
    if (!this.#picture) return { left: 0, top: 0, scale: 1 };
    const scale = Math.min(side / width, side / height);
    return { left: (side - width * scale) / 2, top: (side - height * scale) / 2, scale };
  }

  async show(file) {
    this.#keep();
    const picture = { file, image: null };
    this.#strokes = [];
    this.#picture = picture;
    this.#update();
    picture.image = await createImageBitmap(file).catch(() => null);
    picture.failed = !picture.image;
    if (this.#picture === picture) { this.#paint(); if (picture.failed) this.#changed(); }
  }

  undo() {
    const before = this.#history.pop();
    if (before) this.#set(before.strokes, before.picture);
  }

  clear() {
    if (this.isEmpty) return;
    this.#keep();
    this.#set([], null);
  }

  #set(strokes, picture) {
    this.#strokes = strokes;
    this.#picture = picture;
    this.isDown = false;
    this.#update();
  }

  #keep() {
    this.#history.push({ strokes: [...this.#strokes], picture: this.#picture });
  }

  #begin(event) {
    if (event.button || this.isDown) return;
    this.#pointer = event.pointerId;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pen = null;
    this.#startStroke(this.#place(event));
  }

  #startStroke(point) {
    this.#keep();
    this.#picture = null;
    this.#strokes.push({ width: this.width, points: [point] });
    this.isDown = true;
    this.#update();
  }

  #go(event) {
    if (!this.isDown || event.pointerId !== this.#pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    this.#strokes.at(-1).points.push(...(events.length ? events : [event]).map((one) => this.#place(one)));
    this.#update();
  }

  #end(event) {
    if (!this.isDown || event.pointerId !== this.#pointer) return;
    this.isDown = false;
    this.#pointer = null;
    this.#update();
  }

  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * (this.#canvas.width / box.width), (event.clientY - box.top) * (this.#canvas.height / box.height)];
  }

  #press(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const side = this.#canvas.width;
    if (moves[event.key]) {
      const [x, y] = this.#pen ?? [side / 2, side / 2];
      const [right, down] = moves[event.key];
      this.#pen = [Math.min(side, Math.max(0, x + right * STEP)), Math.min(side, Math.max(0, y + down * STEP))];
      if (this.isDown) { this.#strokes.at(-1).points.push(this.#pen); this.#update(); } else this.#paint();
    } else if (event.key === " ") {
      this.#pen ??= [side / 2, side / 2];
      const at = this.#pen.map((one) => Math.round((100 * one) / side));
      if (this.isDown) { this.isDown = false; this.#update(); } else this.#startStroke(this.#pen);
      this.#said(`pen ${this.isDown ? "down" : "up"}, ${at[0]} % from the left, ${at[1]} % from the top`);
    } else if (event.key === "Backspace" || (event.key === "z" && (event.ctrlKey || event.metaKey))) this.undo();
    else if (event.key === "Escape") this.clear();
    else return;
    event.preventDefault();
  }

  #update() {
    this.#paint();
    this.#changed();
  }

  #paint({ cursor = true } = {}) {
    const context = this.#canvas.getContext("2d", { willReadFrequently: true });
    const { width, height } = this.#canvas;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    if (this.#picture?.image) {
      const { left, top, scale } = this.placeOf(this.#picture.image.width, this.#picture.image.height);
      context.drawImage(this.#picture.image, left, top, this.#picture.image.width * scale, this.#picture.image.height * scale);
    }
    context.strokeStyle = "#000";
    context.lineCap = context.lineJoin = "round";
    for (const { width: line, points } of this.#strokes) {
      context.lineWidth = line;
      context.beginPath();
      context.moveTo(...points[0]);
      for (const point of points) context.lineTo(...point);
      context.stroke();
    }
    if (cursor && this.#pen) this.#paintPen(context);
  }

  #paintPen(context) {
    context.strokeStyle = this.isDown ? "#a13d8f" : "#777";
    context.lineWidth = 3;
    context.beginPath();
    context.arc(...this.#pen, this.width / 2 + 4, 0, 2 * Math.PI);
    context.stroke();
  }
}
