// One or two images on canvases that share zoom, pan, window and level.

const FULL = { zoom: 1, x: 0, y: 0, level: 127.5, width: 255, invert: false };
const between = (low, value, high) => Math.min(high, Math.max(low, value));

export class Viewer {
  constructor(place, told) {
    this.place = place;
    this.told = told; // called after every change
    this.smooth = true;
    this.panes = [];
    this.state = { ...FULL };
    new ResizeObserver(() => this.draw()).observe(place);
  }

  // Show images (ImageBitmaps) under their names, at rest.
  show(images, names) {
    this.panes = images.map((image, at) => new Pane(this, image, names[at]));
    this.place.replaceChildren(...this.panes.map((pane) => pane.element));
    this.reset();
  }

  clear() {
    this.panes = [];
    this.place.replaceChildren();
  }

  reset() {
    this.state = { ...FULL };
    this.draw();
  }

  invert() {
    this.state.invert = !this.state.invert;
    this.draw();
  }

  smoothen() {
    this.smooth = !this.smooth;
    this.draw();
  }

  // Zoom about a point of a pane, given from its middle in CSS pixels.
  zoom(factor, x = 0, y = 0) {
    const zoom = between(1, this.state.zoom * factor, 16);
    const real = zoom / this.state.zoom;
    this.state.x = x - (x - this.state.x) * real;
    this.state.y = y - (y - this.state.y) * real;
    this.state.zoom = zoom;
    this.draw();
  }

  pan(x, y) {
    this.state.x += x;
    this.state.y += y;
    this.draw();
  }

  window(width, level) {
    this.state.width = between(4, this.state.width + width, 510);
    this.state.level = between(0, this.state.level + level, 255);
    this.draw();
  }

  draw() {
    const { state } = this;
    for (const pane of this.panes) pane.draw(state, this.smooth);
    this.told(state, this.smooth);
  }
}

class Pane {
  constructor(viewer, image, name) {
    this.viewer = viewer;
    this.element = document.createElement("div");
    this.element.className = "view";
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", name ? `Chest image, ${name.toLowerCase()}` : "Chest image");
    this.element.append(this.canvas);
    if (name) this.element.append(Object.assign(document.createElement("b"), { textContent: name }));
    this.grey = levels(image);
    this.shown = new OffscreenCanvas(image.width, image.height);
    this.developed = "";
    this.listen();
  }

  draw(state, smooth) {
    const { canvas, shown } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    this.develop(state);
    const fit = Math.min(width / shown.width, height / shown.height) * state.zoom;
    const [w, h] = [shown.width * fit, shown.height * fit];
    // Some of the image always stays in sight.
    state.x = between(-w / 2, state.x, w / 2);
    state.y = between(-h / 2, state.y, h / 2);
    const context = canvas.getContext("2d", { alpha: false });
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    context.drawImage(shown, (width - w) / 2 + state.x, (height - h) / 2 + state.y, w, h);
  }

  // Window and level, done where they changed.
  develop({ level, width, invert }) {
    const wanted = `${level} ${width} ${invert}`;
    if (wanted === this.developed) return;
    this.developed = wanted;
    const table = Uint8ClampedArray.from({ length: 256 }, (_, grey) => {
      const value = ((grey - level) / width + 0.5) * 255;
      return invert ? 255 - between(0, value, 255) : value;
    });
    const { grey, shown } = this;
    const data = new ImageData(shown.width, shown.height);
    for (let at = 0; at < grey.length; at += 1) {
      data.data[4 * at] = data.data[4 * at + 1] = data.data[4 * at + 2] = table[grey[at]];
      data.data[4 * at + 3] = 255;
    }
    shown.getContext("2d").putImageData(data, 0, 0);
  }

  listen() {
    const { canvas, viewer } = this;
    const held = new Map(); // pointers that are down, where they were last
    const fromMiddle = (x, y) => {
      const box = canvas.getBoundingClientRect();
      return [x - box.left - box.width / 2, y - box.top - box.height / 2];
    };
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      viewer.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.06 : 0.002)), ...fromMiddle(event.clientX, event.clientY));
    }, { passive: false });
    canvas.addEventListener("dblclick", () => viewer.reset());
    canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      document.activeElement?.blur?.();
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = held.get(event.pointerId);
      if (!last) return;
      const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
      if (held.size === 2) {
        const other = [...held].find(([id]) => id !== event.pointerId)[1];
        const [before, after] = [Math.hypot(last.x - other.x, last.y - other.y),
          Math.hypot(event.clientX - other.x, event.clientY - other.y)];
        viewer.pan(dx / 2, dy / 2);
        if (before > 10) viewer.zoom(after / before, ...fromMiddle((event.clientX + other.x) / 2, (event.clientY + other.y) / 2));
      } else if (event.buttons & 6 || event.shiftKey) {
        viewer.pan(dx, dy);
      } else {
        viewer.window(dx, dy * 0.5);
      }
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => held.delete(event.pointerId));
    }
  }
}

function levels(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  return Uint8Array.from({ length: data.length / 4 }, (_, at) => data[4 * at]);
}
