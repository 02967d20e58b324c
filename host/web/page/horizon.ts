// A horizon chosen by a slider over round numbers or by a field.

import { by } from './dom';

const ROUND = [
  1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 250, 300, 400, 500, 600, 700, 800, 900,
  1000, 1500, 2000, 3000, 5000,
];

export class Horizon {
  private slider: HTMLInputElement;
  private field: HTMLInputElement;
  stops: number[] = [];
  value = 1;
  /** What was chosen last, also while fewer steps than that are being typed. */
  private chosen = 1;

  constructor(prefix: string, changed: () => void) {
    this.slider = by<HTMLInputElement>(`${prefix}-slider`);
    this.field = by<HTMLInputElement>(`${prefix}-horizon`);
    this.slider.addEventListener('input', () => {
      this.value = this.chosen = this.stops[this.slider.valueAsNumber] ?? this.value;
      this.show();
      changed();
    });
    this.field.addEventListener('input', () => {
      const most = this.stops.at(-1) ?? 1;
      const value = this.field.valueAsNumber;
      if (!Number.isInteger(value) || value < 1 || value > most) return;
      this.value = this.chosen = value;
      this.show();
      changed();
    });
    this.field.addEventListener('change', () => this.show(false));
  }

  /** Sets the most that can be chosen, and the value. */
  set(most: number, value = this.chosen): void {
    this.chosen = value;
    this.stops = [...ROUND.filter((stop) => stop < most), most];
    this.value = Math.min(Math.max(1, Math.round(value) || 1), most);
    this.slider.max = String(this.stops.length - 1);
    this.field.max = String(most);
    this.show();
  }

  /** Writes it into the controls, but not into the field while somebody types there. */
  private show(typing = document.activeElement === this.field): void {
    const distance = (stop: number) => Math.abs(Math.log(stop / this.value));
    let nearest = 0;
    this.stops.forEach((stop, i) => {
      if (distance(stop) < distance(this.stops[nearest])) nearest = i;
    });
    this.slider.value = String(nearest);
    this.slider.setAttribute('aria-valuetext', `${this.value} steps`);
    if (!typing) this.field.value = String(this.value);
  }
}
