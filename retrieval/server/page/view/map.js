// The map: not built yet.

export class MapView {
  constructor(app) {
    Object.assign(this, { app, isKnown: false });
  }
  discover() {}
  show() {}
  key() { return false; }
  escape() { return false; }
}
