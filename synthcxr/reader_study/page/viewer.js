// One or two images on canvases that share zoom, pan, window and level.

const FULL = { zoom: 1, x: 0, y: 0, level: 127.5, width: 255, invert: false };
const clamp = (low, value, high) => Math.min(high, Math.max(low, value));

export class Viewer {
  constructor(container, onChange) {
    this.container = container;
    this.onChange = onChange; // called after every change
    this.smooth = true;
    this.panes = [];
    this.state = { ...FULL };
    new ResizeObserver(() => this.draw()).observe(container);
  }

  // Show images (ImageBitmaps) with their names, without zoom, pan or windowing.
  show(images, names) {
    this.panes = images.map((image, index) => new Pane(this, image, names[index]));
    this.container.replaceChildren(...this.panes.map((pane) => pane.element));
    this.reset();
  }

  clear() {
    this.panes = [];
    this.container.replaceChildren();
  }

  reset() {
    this.state = { ...FULL };
    this.draw();
  }

  toggleInvert() {
    this.state.invert = !this.state.invert;
    this.draw();
  }

  toggleSmoothing() {
    this.smooth = !this.smooth;
    this.draw();
  }

  // Zoom around a point of a pane; x and y are CSS pixels from its centre.
  zoomBy(factor, x = 0, y = 0) {
    const zoom = clamp(1, this.state.zoom * factor, 16);
    const ratio = zoom / this.state.zoom;
    this.state.x = x - (x - this.state.x) * ratio;
    this.state.y = y - (y - this.state.y) * ratio;
    this.state.zoom = zoom;
    this.draw();
  }

  panBy(x, y) {
    this.state.x += x;
    this.state.y += y;
    this.draw();
  }

  changeWindow(width, level) {
    this.state.width = clamp(4, this.state.width + width, 510);
    this.state.level = clamp(0, this.state.level + level, 255);
    this.draw();
  }

  draw() {
    const { state } = this;
    for (const pane of this.panes) pane.draw(state, this.smooth);
    this.onChange(state, this.smooth);
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
    this.grey = readGrey(image);
    this.windowed = new OffscreenCanvas(image.width, image.height);
    this.windowedFor = "";
    this.addListeners();
  }

  draw(state, smooth) {
    const { canvas, windowed } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    this.applyWindow(state);
    const fit = Math.min(width / windowed.width, height / windowed.height) * state.zoom;
    const [w, h] = [windowed.width * fit, windowed.height * fit];
    // A part of the image always stays visible.
    state.x = clamp(-w / 2, state.x, w / 2);
    state.y = clamp(-h / 2, state.y, h / 2);
    const context = canvas.getContext("2d", { alpha: false });
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    context.drawImage(windowed, (width - w) / 2 + state.x, (height - h) / 2 + state.y, w, h);
  }

  // Apply window and level, if they have changed.
  applyWindow({ level, width, invert }) {
    const settings = `${level} ${width} ${invert}`;
    if (settings === this.windowedFor) return;
    this.windowedFor = settings;
    const table = Uint8ClampedArray.from({ length: 256 }, (_, grey) => {
      const value = ((grey - level) / width + 0.5) * 255;
      return invert ? 255 - clamp(0, value, 255) : value;
    });
    const { grey, windowed } = this;
    const data = new ImageData(windowed.width, windowed.height);
    for (let i = 0; i < grey.length; i += 1) {
      data.data[4 * i] = data.data[4 * i + 1] = data.data[4 * i + 2] = table[grey[i]];
      data.data[4 * i + 3] = 255;
    }
    windowed.getContext("2d").putImageData(data, 0, 0);
  }

  addListeners() {
    const { canvas, viewer } = this;
    const pointers = new Map(); // last position of each pointer that is down
    const fromCentre = (x, y) => {
      const box = canvas.getBoundingClientRect();
      return [x - box.left - box.width / 2, y - box.top - box.height / 2];
    };
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      viewer.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.06 : 0.002)), ...fromCentre(event.clientX, event.clientY));
    }, { passive: false });
    canvas.addEventListener("dblclick", () => viewer.reset());
    canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      document.activeElement?.blur?.();
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (!last) return;
      const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
      if (pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const [before, after] = [Math.hypot(last.x - other.x, last.y - other.y),
          Math.hypot(event.clientX - other.x, event.clientY - other.y)];
        viewer.panBy(dx / 2, dy / 2);
        if (before > 10) viewer.zoomBy(after / before, ...fromCentre((event.clientX + other.x) / 2, (event.clientY + other.y) / 2));
      } else if (event.buttons & 6 || event.shiftKey) {
        viewer.panBy(dx, dy);
      } else {
        viewer.changeWindow(dx, dy * 0.5);
      }
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
    }
  }
}

function readGrey(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  return Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i]);
}
