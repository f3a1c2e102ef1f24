// Types of the global functions of the predecessor's script.
import "./index";

declare global {
  /** Sends `data` at once, as it is; what is answered goes to the data layer of this name as this event. */
  function dataTagSendData(
    data: unknown,
    server: string,
    path: string,
    eventName?: string | false,
    layerName?: string | false,
    waitsForCookies?: boolean,
    usesFetch?: boolean,
  ): void;
  /** What the page is like, and what the data layer of this container of Google Tag Manager holds. */
  function dataTagGetData(container: string): {
    document: { characterSet: string };
    innerWidth: number;
    innerHeight: number;
    screen: { width: number; height: number };
    dataModel: Record<string, unknown>;
  };
  function dataTagMD5(text: string): string;
  function dataTag256(text: string, format: "HEX" | "B64"): string;
  function dataTagParseResponse(text: string): Record<string, unknown>;
}

export {};
