var createPubSub = (() => {
  var __defProp = Object.defineProperty;
  var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
  var __getOwnPropNames = Object.getOwnPropertyNames;
  var __hasOwnProp = Object.prototype.hasOwnProperty;
  var __export = (target, all) => {
    for (var name in all)
      __defProp(target, name, { get: all[name], enumerable: true });
  };
  var __copyProps = (to, from, except, desc) => {
    if (from && typeof from === "object" || typeof from === "function") {
      for (let key of __getOwnPropNames(from))
        if (!__hasOwnProp.call(to, key) && key !== except)
          __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
    }
    return to;
  };
  var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);

  // node_modules/pub-sub-es/dist/index.js
  var index_exports = {};
  __export(index_exports, {
    createPubSub: () => createPubSub,
    default: () => index_default,
    globalPubSub: () => globalPubSub
  });
  var broadcastChannel = new window.BroadcastChannel("pub-sub-es");
  var isString = (key) => typeof key === "string";
  var getEventName = (eventName, caseInsensitive) => {
    if (isString(eventName) && caseInsensitive) {
      return eventName.toLowerCase();
    }
    return eventName;
  };
  var createSubscribe = (stack, options) => (event, handler, times = Number.POSITIVE_INFINITY) => {
    const e = getEventName(event, options?.caseInsensitive);
    const listeners = stack[e] || [];
    listeners.push({
      handler,
      times: +times || Number.POSITIVE_INFINITY
    });
    stack[e] = listeners;
    return { event: e, handler };
  };
  var isSubscription = (event) => typeof event === "object";
  function createUnsubscribe(stack, options) {
    function unsubscribe(eventOrSubscription, handlerOrUndefined) {
      let event;
      let handler;
      if (isSubscription(eventOrSubscription)) {
        handler = eventOrSubscription.handler;
        event = eventOrSubscription.event;
      } else {
        event = eventOrSubscription;
        handler = handlerOrUndefined;
      }
      const e = getEventName(event, options?.caseInsensitive);
      const listeners = stack[e];
      if (!listeners) {
        return;
      }
      const idx = listeners.findIndex((listener) => listener.handler === handler);
      if (idx === -1 || idx >= listeners.length) {
        return;
      }
      listeners.splice(idx, 1);
    }
    return unsubscribe;
  }
  var hasListeners = (listeners) => {
    return Boolean(listeners);
  };
  var createPublish = (stack, options) => {
    const unsubscribe = createUnsubscribe(stack);
    return (...args) => {
      const [event, news, callOptions] = args;
      const eventName = getEventName(event, options?.caseInsensitive);
      const listenersOrUndefined = stack[eventName];
      if (!hasListeners(listenersOrUndefined)) {
        return;
      }
      const listeners = [...listenersOrUndefined];
      for (const listener of listeners) {
        if (--listener.times < 1) {
          unsubscribe(eventName, listener.handler);
        }
      }
      const isAsync = callOptions?.async !== void 0 ? callOptions.async : options?.async;
      const inform = () => {
        for (const listener of listeners) {
          listener.handler(news);
        }
      };
      if (isAsync) {
        setTimeout(inform, 0);
      } else {
        inform();
      }
      if (options?.isGlobal && !callOptions?.isNoGlobalBroadcast) {
        try {
          broadcastChannel.postMessage({ event: eventName, news });
        } catch (error) {
          if (error instanceof Error && error.name === "DataCloneError") {
            console.warn(`Could not broadcast '${eventName.toString()}' globally. Payload is not clonable.`);
          } else {
            throw error;
          }
        }
      }
    };
  };
  function keys(obj) {
    return Object.keys(obj);
  }
  var createClear = (stack) => () => {
    for (const event of keys(stack)) {
      delete stack[event];
    }
  };
  var createStack = () => ({});
  var createPubSub = (options) => {
    const async = Boolean(options?.async);
    const caseInsensitive = Boolean(options?.caseInsensitive);
    const stack = options?.stack || createStack();
    return {
      publish: createPublish(stack, { async, caseInsensitive }),
      subscribe: createSubscribe(stack, { caseInsensitive }),
      unsubscribe: createUnsubscribe(stack, { caseInsensitive }),
      clear: createClear(stack),
      stack
    };
  };
  var globalPubSubStack = createStack();
  var globalPubSub = {
    publish: createPublish(globalPubSubStack, { isGlobal: true }),
    subscribe: createSubscribe(globalPubSubStack),
    unsubscribe: createUnsubscribe(globalPubSubStack),
    clear: createClear(globalPubSubStack),
    stack: globalPubSubStack
  };
  broadcastChannel.onmessage = ({ data: { event, news } }) => globalPubSub.publish(event, news, { isNoGlobalBroadcast: true });
  var index_default = createPubSub;
  return __toCommonJS(index_exports);
})();
