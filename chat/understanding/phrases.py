"""What the product itself says to visitors, in their languages. English stands in for a language that is missing."""

NO_ANSWER = {
    "en": "I'm sorry, I couldn't find an answer to that in our documents. Please contact our team; they will be glad "
    "to help.",
    "de": "Leider habe ich dazu in unseren Unterlagen keine Antwort gefunden. Bitte wenden Sie sich an unser Team, "
    "es hilft Ihnen gern weiter.",
    "fr": "Désolé, je n'ai pas trouvé de réponse à cette question dans nos documents. Contactez notre équipe, elle "
    "vous aidera volontiers.",
    "es": "Lo siento, no he encontrado una respuesta en nuestros documentos. Póngase en contacto con nuestro equipo, "
    "que le ayudará con gusto.",
    "pt": "Desculpe, não encontrei uma resposta nos nossos documentos. Entre em contacto com a nossa equipa, que "
    "terá todo o gosto em ajudar.",
    "it": "Mi dispiace, non ho trovato una risposta nei nostri documenti. Contatti il nostro team, che la aiuterà "
    "volentieri.",
    "nl": "Sorry, ik heb hierover geen antwoord gevonden in onze documenten. Neem contact op met ons team; zij "
    "helpen u graag verder.",
    "pl": "Przepraszam, nie znalazłem odpowiedzi w naszych dokumentach. Prosimy o kontakt z naszym zespołem, chętnie "
    "pomożemy.",
    "tr": "Üzgünüm, belgelerimizde bunun yanıtını bulamadım. Lütfen ekibimizle iletişime geçin, size memnuniyetle "
    "yardımcı olurlar.",
    "ru": "К сожалению, я не нашёл ответа в наших документах. Пожалуйста, свяжитесь с нашей командой, она с радостью "
    "поможет.",
    "ar": "عذرًا، لم أجد إجابة عن ذلك في مستنداتنا. يُرجى التواصل مع فريقنا، وسيسعده مساعدتك.",
    "ja": "申し訳ありませんが、資料の中にお答えが見つかりませんでした。担当チームまでお問い合わせください。",
    "zh": "抱歉，我在我们的资料中没有找到答案。请联系我们的团队，他们很乐意为您提供帮助。",
}
OFFLINE = {
    "en": "Demo answer (no language model is connected), quoted from our documents:",
    "de": "Demo-Antwort (kein Sprachmodell verbunden), wörtlich aus unseren Unterlagen:",
    "fr": "Réponse de démonstration (aucun modèle de langage connecté), citée de nos documents :",
    "es": "Respuesta de demostración (sin modelo de lenguaje conectado), citada de nuestros documentos:",
    "pt": "Resposta de demonstração (sem modelo de linguagem ligado), citada dos nossos documentos:",
    "it": "Risposta dimostrativa (nessun modello linguistico collegato), citata dai nostri documenti:",
    "nl": "Demo-antwoord (geen taalmodel aangesloten), geciteerd uit onze documenten:",
    "pl": "Odpowiedź demonstracyjna (bez modelu językowego), cytat z naszych dokumentów:",
    "tr": "Deneme yanıtı (bağlı bir dil modeli yok), belgelerimizden alıntı:",
    "ru": "Демонстрационный ответ (языковая модель не подключена), цитата из наших документов:",
    "ar": "إجابة تجريبية (لا يوجد نموذج لغوي متصل)، مقتبسة من مستنداتنا:",
    "ja": "デモ回答（言語モデル未接続）、資料からの引用：",
    "zh": "演示回答（未连接语言模型），引自我们的资料：",
}
HELLO = {
    "en": "Hello! How can I help you?",
    "de": "Hallo! Wie kann ich Ihnen helfen?",
    "fr": "Bonjour ! Comment puis-je vous aider ?",
    "es": "¡Hola! ¿En qué puedo ayudarle?",
    "pt": "Olá! Como posso ajudar?",
    "it": "Ciao! Come posso aiutarla?",
    "nl": "Hallo! Waarmee kan ik u helpen?",
    "pl": "Dzień dobry! W czym mogę pomóc?",
    "tr": "Merhaba! Size nasıl yardımcı olabilirim?",
    "ru": "Здравствуйте! Чем могу помочь?",
    "ar": "مرحبًا! كيف يمكنني مساعدتك؟",
    "ja": "こんにちは。どのようなご用件でしょうか。",
    "zh": "您好！请问有什么可以帮您？",
}
THANKS = {
    "en": "You're welcome! Is there anything else I can help with?",
    "de": "Gern geschehen! Kann ich sonst noch helfen?",
    "fr": "Avec plaisir ! Puis-je vous aider pour autre chose ?",
    "es": "¡De nada! ¿Puedo ayudarle en algo más?",
    "pt": "De nada! Posso ajudar em mais alguma coisa?",
    "it": "Prego! Posso aiutarla in altro?",
    "nl": "Graag gedaan! Kan ik nog ergens mee helpen?",
    "pl": "Nie ma za co! Czy mogę jeszcze w czymś pomóc?",
    "tr": "Rica ederim! Başka bir konuda yardımcı olabilir miyim?",
    "ru": "Пожалуйста! Могу ли я помочь чем-то ещё?",
    "ar": "على الرحب والسعة! هل هناك شيء آخر يمكنني المساعدة فيه؟",
    "ja": "どういたしまして。ほかにお手伝いできることはありますか。",
    "zh": "不客气！还有什么可以帮您的吗？",
}
GOODBYE = {
    "en": "Goodbye, and come back any time.",
    "de": "Auf Wiedersehen, bis zum nächsten Mal!",
    "fr": "Au revoir et à bientôt !",
    "es": "¡Adiós, hasta pronto!",
    "pt": "Adeus e até breve!",
    "it": "Arrivederci, a presto!",
    "nl": "Tot ziens!",
    "pl": "Do widzenia!",
    "tr": "Hoşça kalın!",
    "ru": "До свидания!",
    "ar": "مع السلامة، ونتطلع إلى عودتك!",
    "ja": "さようなら。またいつでもどうぞ。",
    "zh": "再见，欢迎随时再来！",
}
PERSON = {  # the reply to a message that a person will answer
    "en": "{name} reads this and will answer you here personally.",
    "de": "{name} liest mit und antwortet Ihnen hier persönlich.",
    "fr": "{name} lit votre message et vous répondra ici en personne.",
    "es": "{name} lee su mensaje y le responderá aquí en persona.",
    "pt": "{name} lê a sua mensagem e vai responder-lhe aqui em pessoa.",
    "it": "{name} legge il suo messaggio e le risponderà qui di persona.",
    "nl": "{name} leest mee en antwoordt u hier persoonlijk.",
    "pl": "{name} czyta tę wiadomość i odpowie tutaj osobiście.",
    "tr": "{name} mesajınızı okuyor ve size burada bizzat yanıt verecek.",
    "ru": "{name} читает ваше сообщение и ответит вам здесь лично.",
    "ar": "يقرأ {name} رسالتك وسيجيبك هنا شخصيًا.",
    "ja": "{name}がメッセージを確認し、こちらで直接お答えします。",
    "zh": "{name} 正在阅读您的消息，并将在此亲自回复。",
}

# What visitors write when they only greet, thank or leave: kind -> language -> phrases, folded, without punctuation.
SMALL_TALK: dict[str, dict[str, str]] = {
    "hello": {
        "en": "hi|hello|hey|hiya|howdy|yo|good morning|good afternoon|good evening|good day|greetings|morning|"
        "evening|hi there|hello there|hey there|how are you|how are you doing|how do you do|hows it going|whats up|"
        "sup|nice to meet you|anyone there|is anyone there|anybody there|are you there|test|testing",
        "de": "hallo|guten tag|guten morgen|guten abend|moin|moin moin|servus|grüß gott|grüss gott|grüezi|hallöchen|"
        "mahlzeit|wie gehts|wie geht es|wie geht es dir|wie geht es ihnen|jemand da|ist jemand da",
        "fr": "bonjour|bonsoir|salut|coucou|allo|ça va|ca va|comment ça va|comment ca va|comment allez vous|"
        "bonjour à tous",
        "es": "hola|buenas|buenos días|buenos dias|buenas tardes|buenas noches|qué tal|que tal|cómo estás|como estas|"
        "cómo está|como esta|hola buenas|hay alguien|hay alguien ahí",
        "pt": "olá|ola|oi|bom dia|boa tarde|boa noite|tudo bem|tudo bom|como vai|como está|e aí",
        "it": "ciao|buongiorno|buonasera|buon giorno|buona sera|salve|come va|come stai|come sta",
        "nl": "hoi|hallo|goedemorgen|goedemiddag|goedenavond|goedendag|hoe gaat het|hoe gaat het met je|dag",
        "pl": "cześć|czesc|dzień dobry|dzien dobry|witam|hej|dobry wieczór|dobry wieczor",
        "tr": "merhaba|selam|günaydın|gunaydin|iyi günler|iyi gunler|iyi akşamlar|iyi aksamlar|nasılsın|nasılsınız",
        "ru": "привет|здравствуйте|здравствуй|добрый день|доброе утро|добрый вечер|как дела",
        "ar": "مرحبا|مرحباً|أهلا|اهلا|أهلاً|السلام عليكم|سلام|صباح الخير|مساء الخير|كيف حالك|هلا",
        "ja": "こんにちは|こんにちわ|こんばんは|おはよう|おはようございます|もしもし|はじめまして|どうも",
        "zh": "你好|您好|嗨|早上好|下午好|晚上好|在吗|有人吗|你好吗",
    },
    "thanks": {
        "en": "thanks|thank you|thank you very much|thanks a lot|many thanks|thx|ty|cheers|thank you so much|"
        "much appreciated|great|perfect|awesome|ok|okay|cool|got it|great thanks|that helps|that helped|very helpful|"
        "alright|nice|understood",
        "de": "danke|vielen dank|danke schön|danke schoen|dankeschön|danke sehr|besten dank|herzlichen dank|super|"
        "prima|alles klar|perfekt|super danke|passt|verstanden|tausend dank",
        "fr": "merci|merci beaucoup|merci bien|mille mercis|un grand merci|parfait|d accord|daccord|super merci|"
        "très bien merci",
        "es": "gracias|muchas gracias|mil gracias|perfecto|vale|de acuerdo|genial|muy amable|estupendo",
        "pt": "obrigado|obrigada|muito obrigado|muito obrigada|perfeito|valeu|ótimo|brigado|brigada",
        "it": "grazie|grazie mille|molte grazie|tante grazie|perfetto|va bene|ottimo",
        "nl": "bedankt|dank je|dank u|dank je wel|dankjewel|dank u wel|hartelijk dank|prima|oké",
        "pl": "dziękuję|dziekuje|dzięki|dzieki|dziękuję bardzo|super|świetnie",
        "tr": "teşekkürler|tesekkurler|teşekkür ederim|tesekkur ederim|sağ ol|sağol|tamam|çok teşekkürler",
        "ru": "спасибо|большое спасибо|спасибо большое|благодарю|отлично|понятно",
        "ar": "شكرا|شكراً|شكرا جزيلا|شكراً جزيلاً|ممتاز|شكرا لك",
        "ja": "ありがとう|ありがとうございます|どうもありがとう|どうもありがとうございます|"
        "ありがとうございました|了解です|わかりました",
        "zh": "谢谢|谢谢你|谢谢您|多谢|非常感谢|好的|明白了",
    },
    "goodbye": {
        "en": "bye|goodbye|good bye|bye bye|see you|see you later|see ya|good night|have a nice day|have a good day|"
        "take care|cya",
        "de": "tschüss|tschüß|tschuess|auf wiedersehen|ciao|bis dann|bis bald|schönen tag|schönen tag noch|"
        "gute nacht|ade",
        "fr": "au revoir|à bientôt|a bientot|bonne journée|bonne journee|bonne soirée|à plus|bonne nuit",
        "es": "adiós|adios|hasta luego|hasta pronto|chao|nos vemos|hasta mañana",
        "pt": "tchau|adeus|até logo|ate logo|até mais|até breve",
        "it": "arrivederci|addio|a presto|buona giornata|ciao ciao",
        "nl": "doei|tot ziens|dag hoor|fijne dag|tot later",
        "pl": "do widzenia|pa pa|na razie|miłego dnia",
        "tr": "hoşça kal|hoşça kalın|güle güle|görüşürüz",
        "ru": "до свидания|пока|всего доброго|хорошего дня",
        "ar": "مع السلامة|وداعا|إلى اللقاء|الى اللقاء",
        "ja": "さようなら|またね|じゃあね|失礼します",
        "zh": "再见|拜拜|回头见",
    },
}
REPLIES = {"hello": HELLO, "thanks": THANKS, "goodbye": GOODBYE}
TEXTS = {"no_answer": NO_ANSWER, "offline": OFFLINE, "person": PERSON, **REPLIES}
